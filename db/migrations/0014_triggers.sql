CREATE TABLE `trigger_days` (
	`trigger_id` text NOT NULL,
	`utc_day` integer NOT NULL,
	`clips` integer NOT NULL,
	`max_clips` integer,
	`spent_micros` integer NOT NULL,
	`cap_micros` integer,
	PRIMARY KEY(`trigger_id`, `utc_day`),
	FOREIGN KEY (`trigger_id`) REFERENCES `triggers`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "trigger_day_not_negative" CHECK("trigger_days"."clips" >= 0 and "trigger_days"."spent_micros" >= 0),
	CONSTRAINT "trigger_daily_clips" CHECK("trigger_days"."max_clips" is null or "trigger_days"."clips" <= "trigger_days"."max_clips"),
	CONSTRAINT "trigger_daily_cap" CHECK("trigger_days"."cap_micros" is null or "trigger_days"."spent_micros" <= "trigger_days"."cap_micros")
);
--> statement-breakpoint
CREATE TABLE `trigger_deliveries` (
	`id` text PRIMARY KEY NOT NULL,
	`trigger_id` text NOT NULL,
	`outcome` text NOT NULL,
	`clip_id` text,
	`code` text,
	`detail` text,
	`delivery_key` text,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`trigger_id`) REFERENCES `triggers`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `trigger_deliveries_trigger` ON `trigger_deliveries` (`trigger_id`,`id`);--> statement-breakpoint
CREATE INDEX `trigger_deliveries_clip` ON `trigger_deliveries` (`clip_id`) WHERE clip_id is not null;--> statement-breakpoint
CREATE TABLE `trigger_urls` (
	`sha256` text PRIMARY KEY NOT NULL,
	`trigger_id` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer,
	FOREIGN KEY (`trigger_id`) REFERENCES `triggers`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `trigger_urls_trigger` ON `trigger_urls` (`trigger_id`,`created_at_ms`);--> statement-breakpoint
CREATE TABLE `triggers` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`key_id` text NOT NULL,
	`name` text NOT NULL,
	`prompt` text NOT NULL,
	`metadata` text NOT NULL,
	`conditions` text NOT NULL,
	`clip` text NOT NULL,
	`daily_clips` integer,
	`daily_cap_micros` integer,
	`signature` text NOT NULL,
	`disabled_at_ms` integer,
	`created_at_ms` integer NOT NULL,
	`last_delivery_at_ms` integer,
	`clips` integer NOT NULL,
	`refusals` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`key_id`) REFERENCES `api_keys`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `triggers_account` ON `triggers` (`account_id`,`id`);--> statement-breakpoint
ALTER TABLE `clips` ADD `trigger_id` text;