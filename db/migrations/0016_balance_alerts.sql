CREATE TABLE `balance_alerts` (
	`account_id` text PRIMARY KEY NOT NULL,
	`threshold_micros` integer NOT NULL,
	`state` text NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `balance_alerts_state` ON `balance_alerts` (`state`);--> statement-breakpoint
-- By hand from here: drizzle-kit does not know triggers.
CREATE TRIGGER `balance_alerts_follow` AFTER UPDATE ON `balances` BEGIN
	UPDATE `balance_alerts` SET `state` = 'due'
	WHERE `account_id` = NEW.`account_id` AND `state` = 'above'
		AND NEW.`posted_micros` - NEW.`pending_micros` < `threshold_micros`;
	UPDATE `balance_alerts` SET `state` = 'above'
	WHERE `account_id` = NEW.`account_id` AND `state` <> 'above'
		AND NEW.`posted_micros` - NEW.`pending_micros` >= `threshold_micros`;
END;
