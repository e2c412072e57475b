ALTER TABLE `clips` ADD `expires_at_ms` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `clips_expiring` ON `clips` (`expires_at_ms`) WHERE state = 'queued';--> statement-breakpoint
-- Clips from before get the wait that an order has by default: a day.
UPDATE `clips` SET `expires_at_ms` = `created_at_ms` + 86400000;
