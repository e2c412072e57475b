CREATE TABLE `flows` (
	`account_id` text NOT NULL,
	`model` text NOT NULL,
	`priority` text NOT NULL,
	`turn` integer NOT NULL,
	`taken_at_ms` integer NOT NULL,
	PRIMARY KEY(`account_id`, `model`, `priority`),
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `flows_clock` ON `flows` (`model`,`turn`);--> statement-breakpoint
DROP INDEX `clips_queued`;--> statement-breakpoint
ALTER TABLE `clips` ADD `priority` text DEFAULT 'normal' NOT NULL;--> statement-breakpoint
ALTER TABLE `clips` ADD `turn` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `clips_turn` ON `clips` (`model`,`turn`,`id`) WHERE state = 'queued';--> statement-breakpoint
CREATE INDEX `clips_flow` ON `clips` (`account_id`,`model`,`priority`,`turn`) WHERE state = 'queued';--> statement-breakpoint
CREATE INDEX `clips_succeeded` ON `clips` (`model`,`finished_at_ms`) WHERE state = 'succeeded';