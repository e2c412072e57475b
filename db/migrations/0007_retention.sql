CREATE TABLE `output_removals` (
	`clip_id` text NOT NULL,
	`attempt` integer NOT NULL,
	`due_at_ms` integer NOT NULL,
	PRIMARY KEY(`clip_id`, `attempt`),
	FOREIGN KEY (`clip_id`) REFERENCES `clips`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `output_removals_due` ON `output_removals` (`due_at_ms`);--> statement-breakpoint
ALTER TABLE `clips` ADD `output_removed_at_ms` integer;--> statement-breakpoint
CREATE INDEX `idempotency_age` ON `idempotency_keys` (`created_at_ms`);--> statement-breakpoint
-- What attempts before this have left in the bucket: an output until it expires, everything else at once.
INSERT INTO `output_removals` (`clip_id`, `attempt`, `due_at_ms`)
WITH RECURSIVE `ordinal`(`n`) AS (SELECT 1 UNION ALL SELECT `n` + 1 FROM `ordinal` WHERE `n` < 20)
SELECT `clips`.`id`, `n`, CASE WHEN `state` = 'succeeded' AND `n` = `attempt` THEN coalesce(`output_expires_at_ms`, 0) ELSE 0 END
FROM `clips` JOIN `ordinal` ON `n` <= `attempt`
WHERE NOT (`state` IN ('leased', 'running') AND `n` = `attempt`);
