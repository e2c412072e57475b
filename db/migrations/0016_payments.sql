CREATE TABLE `balance_alerts` (
	`account_id` text PRIMARY KEY NOT NULL,
	`threshold_micros` integer NOT NULL,
	`state` text NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `balance_alerts_state` ON `balance_alerts` (`state`);--> statement-breakpoint
CREATE TABLE `stripe_disputes` (
	`id` text PRIMARY KEY NOT NULL,
	`payment_intent` text NOT NULL,
	`amount_micros` integer NOT NULL,
	`reinstated` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `stripe_disputes_payment` ON `stripe_disputes` (`payment_intent`);--> statement-breakpoint
CREATE TABLE `stripe_events` (
	`id` text PRIMARY KEY NOT NULL,
	`type` text NOT NULL,
	`object_id` text,
	`outcome` text NOT NULL,
	`received_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `stripe_payments` (
	`payment_intent` text PRIMARY KEY NOT NULL,
	`top_up_id` text,
	`refunded_micros` integer NOT NULL,
	`booked_paid_micros` integer NOT NULL,
	`booked_refunded_micros` integer NOT NULL,
	`booked_disputed_micros` integer NOT NULL,
	FOREIGN KEY (`top_up_id`) REFERENCES `top_ups`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "payment_not_negative" CHECK("stripe_payments"."refunded_micros" >= 0 and "stripe_payments"."booked_paid_micros" >= 0),
	CONSTRAINT "payment_books_what_was_told" CHECK("stripe_payments"."booked_refunded_micros" <= "stripe_payments"."refunded_micros")
);
--> statement-breakpoint
CREATE UNIQUE INDEX `stripe_payments_top_up` ON `stripe_payments` (`top_up_id`);--> statement-breakpoint
CREATE TABLE `top_ups` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`key_id` text NOT NULL,
	`amount_micros` integer NOT NULL,
	`success_url` text NOT NULL,
	`cancel_url` text NOT NULL,
	`idempotency_key` text,
	`state` text NOT NULL,
	`session_id` text,
	`url` text,
	`receipt_url` text,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`key_id`) REFERENCES `api_keys`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "top_up_positive" CHECK("top_ups"."amount_micros" > 0)
);
--> statement-breakpoint
CREATE INDEX `top_ups_account` ON `top_ups` (`account_id`,`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `top_ups_idempotency` ON `top_ups` (`account_id`,`idempotency_key`);--> statement-breakpoint
CREATE UNIQUE INDEX `top_ups_session` ON `top_ups` (`session_id`);--> statement-breakpoint
-- By hand from here: drizzle-kit would copy a column that the old table has not, and turn off foreign keys, which D1 does
-- not do. Nothing refers to balances, so nothing needs that.
CREATE TABLE `__new_balances` (
	`account_id` text PRIMARY KEY NOT NULL,
	`posted_micros` integer NOT NULL,
	`pending_micros` integer NOT NULL,
	`floor_micros` integer DEFAULT 0 NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "balance_covers_holds" CHECK("__new_balances"."posted_micros" - "__new_balances"."pending_micros" >= "__new_balances"."floor_micros"),
	CONSTRAINT "balance_floor_not_positive" CHECK("__new_balances"."floor_micros" <= 0),
	CONSTRAINT "balance_pending_not_negative" CHECK("__new_balances"."pending_micros" >= 0)
);
--> statement-breakpoint
INSERT INTO `__new_balances`("account_id", "posted_micros", "pending_micros", "floor_micros") SELECT "account_id", "posted_micros", "pending_micros", 0 FROM `balances`;--> statement-breakpoint
DROP TABLE `balances`;--> statement-breakpoint
ALTER TABLE `__new_balances` RENAME TO `balances`;--> statement-breakpoint
CREATE INDEX `balances_holding` ON `balances` (`pending_micros`) WHERE pending_micros > 0;--> statement-breakpoint
CREATE TRIGGER `balance_alerts_follow` AFTER UPDATE ON `balances` BEGIN
	UPDATE `balance_alerts` SET `state` = 'due'
	WHERE `account_id` = NEW.`account_id` AND `state` = 'above'
		AND NEW.`posted_micros` - NEW.`pending_micros` < `threshold_micros`;
	UPDATE `balance_alerts` SET `state` = 'above'
	WHERE `account_id` = NEW.`account_id` AND `state` <> 'above'
		AND NEW.`posted_micros` - NEW.`pending_micros` >= `threshold_micros`;
END;
