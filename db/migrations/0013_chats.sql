CREATE TABLE `chat_links` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`key_id` text NOT NULL,
	`platform` text NOT NULL,
	`place_id` text,
	`code_sha256` text,
	`code_expires_at_ms` integer NOT NULL,
	`channels` text,
	`roles` text,
	`channel_daily_clips` integer,
	`channel_daily_cap_micros` integer,
	`user_daily_clips` integer,
	`user_daily_cap_micros` integer,
	`created_at_ms` integer NOT NULL,
	`linked_at_ms` integer,
	`linked_by` text,
	`unlinked_at_ms` integer,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`key_id`) REFERENCES `api_keys`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `chat_links_place` ON `chat_links` (`platform`,`place_id`) WHERE unlinked_at_ms is null;--> statement-breakpoint
CREATE UNIQUE INDEX `chat_links_code` ON `chat_links` (`code_sha256`);--> statement-breakpoint
CREATE INDEX `chat_links_account` ON `chat_links` (`account_id`,`id`);--> statement-breakpoint
CREATE TABLE `chat_replies` (
	`id` text NOT NULL,
	`platform` text NOT NULL,
	`lane` text NOT NULL,
	`link_id` text NOT NULL,
	`clip_id` text NOT NULL,
	`channel_id` text NOT NULL,
	`user_id` text NOT NULL,
	`token` text,
	`deadline_ms` integer NOT NULL,
	`uses_left` integer,
	`size_limit` integer NOT NULL,
	`state` text NOT NULL,
	`route` text NOT NULL,
	`due_at_ms` integer,
	`version` integer NOT NULL,
	`failures` integer NOT NULL,
	`shown` text NOT NULL,
	`sent_at_ms` integer,
	`last_error` text,
	`created_at_ms` integer NOT NULL,
	PRIMARY KEY(`platform`, `id`),
	FOREIGN KEY (`link_id`) REFERENCES `chat_links`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`clip_id`) REFERENCES `clips`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `chat_replies_due` ON `chat_replies` (`lane`,`due_at_ms`) WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX `chat_replies_overdue` ON `chat_replies` (`due_at_ms`) WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX `chat_replies_clip` ON `chat_replies` (`clip_id`);--> statement-breakpoint
CREATE INDEX `chat_replies_user` ON `chat_replies` (`link_id`,`user_id`,`created_at_ms`);--> statement-breakpoint
CREATE INDEX `chat_replies_age` ON `chat_replies` (`created_at_ms`);--> statement-breakpoint
CREATE TABLE `chat_spend` (
	`link_id` text NOT NULL,
	`spender` text NOT NULL,
	`spender_id` text NOT NULL,
	`utc_day` integer NOT NULL,
	`clips` integer NOT NULL,
	`spent_micros` integer NOT NULL,
	`max_clips` integer,
	`cap_micros` integer,
	PRIMARY KEY(`link_id`, `spender`, `spender_id`, `utc_day`),
	FOREIGN KEY (`link_id`) REFERENCES `chat_links`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "chat_channel_clips" CHECK("chat_spend"."spender" <> 'channel' or "chat_spend"."max_clips" is null or "chat_spend"."clips" <= "chat_spend"."max_clips"),
	CONSTRAINT "chat_user_clips" CHECK("chat_spend"."spender" <> 'user' or "chat_spend"."max_clips" is null or "chat_spend"."clips" <= "chat_spend"."max_clips"),
	CONSTRAINT "chat_channel_cap" CHECK("chat_spend"."spender" <> 'channel' or "chat_spend"."cap_micros" is null or "chat_spend"."spent_micros" <= "chat_spend"."cap_micros"),
	CONSTRAINT "chat_user_cap" CHECK("chat_spend"."spender" <> 'user' or "chat_spend"."cap_micros" is null or "chat_spend"."spent_micros" <= "chat_spend"."cap_micros")
);
--> statement-breakpoint
CREATE INDEX `chat_spend_day` ON `chat_spend` (`utc_day`);--> statement-breakpoint
-- What happens to a clip and that a chat is to be told are one transaction (decision 0100). A clip that is free after all
-- no longer counts against the day of its order.
CREATE TRIGGER `clip_events_tell_chats` AFTER INSERT ON `clip_events`
WHEN NEW.`event` IN ('started', 'succeeded', 'failed', 'cancelled', 'expired')
BEGIN
	UPDATE `chat_replies` SET `due_at_ms` = NEW.`at_ms`, `version` = `version` + 1
	WHERE `clip_id` = NEW.`clip_id` AND `state` = 'pending';
	UPDATE `chat_spend` SET `clips` = `clips` - 1,
		`spent_micros` = `spent_micros` - (SELECT `price_micros` FROM `clips` WHERE `id` = NEW.`clip_id`)
	WHERE NEW.`event` IN ('failed', 'cancelled', 'expired')
		AND (`link_id`, `spender`, `spender_id`, `utc_day`) IN (
			SELECT r.`link_id`, 'channel', r.`channel_id`, c.`created_at_ms` / 86400000
			FROM `chat_replies` r JOIN `clips` c ON c.`id` = r.`clip_id` WHERE r.`clip_id` = NEW.`clip_id`
			UNION ALL
			SELECT r.`link_id`, 'user', r.`user_id`, c.`created_at_ms` / 86400000
			FROM `chat_replies` r JOIN `clips` c ON c.`id` = r.`clip_id` WHERE r.`clip_id` = NEW.`clip_id`);
END;
