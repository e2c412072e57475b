CREATE INDEX `daily_spend_day` ON `daily_spend` (`utc_day`);--> statement-breakpoint
CREATE INDEX `trigger_days_day` ON `trigger_days` (`utc_day`);--> statement-breakpoint
-- INSERT OR REPLACE removes the row that is in its way without asking a trigger on DELETE. What may be in the way is a row
-- of the same transaction and book, and what the unique indexes on holds and their resolutions would find.
CREATE TRIGGER `ledger_entries_no_replace` BEFORE INSERT ON `ledger_entries`
WHEN EXISTS (SELECT 1 FROM `ledger_entries` WHERE `transaction_id` = NEW.`transaction_id` AND `book` = NEW.`book`)
	OR (NEW.`book` = 'held' AND NEW.`amount_micros` > 0 AND EXISTS (
		SELECT 1 FROM `ledger_entries` WHERE `clip_id` = NEW.`clip_id` AND `book` = 'held' AND `amount_micros` > 0))
	OR (NEW.`book` = 'held' AND NEW.`amount_micros` < 0 AND EXISTS (
		SELECT 1 FROM `ledger_entries` WHERE `clip_id` = NEW.`clip_id` AND `book` = 'held' AND `amount_micros` < 0))
BEGIN
	SELECT RAISE(ABORT, 'ledger_entries is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER `audit_log_no_replace` BEFORE INSERT ON `audit_log`
WHEN EXISTS (SELECT 1 FROM `audit_log` WHERE `id` = NEW.`id`)
BEGIN
	SELECT RAISE(ABORT, 'audit_log is append-only');
END;
