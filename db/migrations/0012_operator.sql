CREATE TABLE `audit_log` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`subject` text NOT NULL,
	`detail` text NOT NULL,
	`request_id` text,
	`at_ms` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `audit_log_account` ON `audit_log` (`account_id`,`id`);--> statement-breakpoint
CREATE TABLE `clip_totals` (
	`model` text NOT NULL,
	`state` text NOT NULL,
	`clips` integer NOT NULL,
	PRIMARY KEY(`model`, `state`)
);
--> statement-breakpoint
DROP INDEX `webhook_deliveries_overdue`;--> statement-breakpoint
CREATE INDEX `webhook_deliveries_overdue` ON `webhook_deliveries` (`next_attempt_at_ms`,`message_id`) WHERE state = 'pending';--> statement-breakpoint
ALTER TABLE `accounts` ADD `log_prompts` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `balances_holding` ON `balances` (`pending_micros`) WHERE pending_micros > 0;--> statement-breakpoint
INSERT INTO `clip_totals` (`model`, `state`, `clips`)
SELECT `model`, `state`, count(*) FROM `clips`
WHERE `state` IN ('succeeded', 'failed', 'cancelled', 'expired') GROUP BY `model`, `state`;--> statement-breakpoint
-- Whoever ends a clip records its end, once; so nobody who ends one can forget to count it (decision 0080).
CREATE TRIGGER `clip_events_count` AFTER INSERT ON `clip_events`
WHEN NEW.`event` IN ('succeeded', 'failed', 'cancelled', 'expired')
BEGIN
	INSERT INTO `clip_totals` (`model`, `state`, `clips`)
	SELECT `model`, NEW.`event`, 1 FROM `clips` WHERE `id` = NEW.`clip_id`
	ON CONFLICT (`model`, `state`) DO UPDATE SET `clips` = `clips` + 1;
END;
--> statement-breakpoint
-- What was done stays written down.
CREATE TRIGGER `audit_log_no_update` BEFORE UPDATE ON `audit_log`
BEGIN
	SELECT RAISE(ABORT, 'audit_log is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER `audit_log_no_delete` BEFORE DELETE ON `audit_log`
BEGIN
	SELECT RAISE(ABORT, 'audit_log is append-only');
END;
