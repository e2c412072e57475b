CREATE TABLE `auto_top_ups` (
	`account_id` text PRIMARY KEY NOT NULL,
	`key_id` text NOT NULL,
	`threshold_micros` integer NOT NULL,
	`amount_micros` integer NOT NULL,
	`monthly_cap_micros` integer NOT NULL,
	`state` text NOT NULL,
	`top_up_id` text,
	`not_before_ms` integer NOT NULL,
	`failures` integer NOT NULL,
	`last_error` text,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`key_id`) REFERENCES `api_keys`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`top_up_id`) REFERENCES `top_ups`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "auto_top_up_names_its_charge" CHECK(("auto_top_ups"."state" = 'charging') = ("auto_top_ups"."top_up_id" is not null))
);
--> statement-breakpoint
CREATE INDEX `auto_top_ups_due` ON `auto_top_ups` (`state`,`not_before_ms`);--> statement-breakpoint
CREATE UNIQUE INDEX `auto_top_ups_top_up` ON `auto_top_ups` (`top_up_id`);--> statement-breakpoint
CREATE TABLE `stripe_customers` (
	`account_id` text PRIMARY KEY NOT NULL,
	`customer_id` text NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
ALTER TABLE `top_ups` ADD `auto` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `top_ups` ADD `save_card` integer DEFAULT false NOT NULL;--> statement-breakpoint
-- By hand from here. Whoever moves a balance below the threshold makes a charge due (decision 0140).
CREATE TRIGGER `auto_top_ups_follow` AFTER UPDATE ON `balances` BEGIN
	UPDATE `auto_top_ups` SET `state` = 'due', `not_before_ms` = 0
	WHERE `account_id` = NEW.`account_id` AND `state` = 'armed'
		AND NEW.`posted_micros` - NEW.`pending_micros` < `threshold_micros`;
	UPDATE `auto_top_ups` SET `state` = 'armed'
	WHERE `account_id` = NEW.`account_id` AND `state` = 'due'
		AND NEW.`posted_micros` - NEW.`pending_micros` >= `threshold_micros`;
END;
