ALTER TABLE `runners` ADD `engine` text;--> statement-breakpoint
ALTER TABLE `runners` ADD `devices` text DEFAULT '["unknown"]' NOT NULL;--> statement-breakpoint
ALTER TABLE `runners` ADD `drained_since_ms` integer;