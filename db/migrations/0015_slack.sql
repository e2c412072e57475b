CREATE TABLE `chat_installations` (
	`platform` text NOT NULL,
	`place_id` text NOT NULL,
	`token` text NOT NULL,
	`installed_by` text NOT NULL,
	`installed_at_ms` integer NOT NULL,
	PRIMARY KEY(`platform`, `place_id`)
);
--> statement-breakpoint
ALTER TABLE `chat_replies` ADD `files` text;