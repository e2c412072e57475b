CREATE TABLE `api_key_secrets` (
	`sha256` text PRIMARY KEY NOT NULL,
	`key_id` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer,
	FOREIGN KEY (`key_id`) REFERENCES `api_keys`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `api_key_secrets_key` ON `api_key_secrets` (`key_id`,`created_at_ms`);--> statement-breakpoint
CREATE TABLE `browser_tokens` (
	`id` text PRIMARY KEY NOT NULL,
	`key_id` text NOT NULL,
	`sha256` text NOT NULL,
	`scopes` text NOT NULL,
	`origins` text NOT NULL,
	`clips` integer NOT NULL,
	`max_clips` integer,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer NOT NULL,
	FOREIGN KEY (`key_id`) REFERENCES `api_keys`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "browser_token_clips" CHECK("browser_tokens"."max_clips" is null or "browser_tokens"."clips" <= "browser_tokens"."max_clips")
);
--> statement-breakpoint
CREATE INDEX `browser_tokens_expiring` ON `browser_tokens` (`expires_at_ms`);--> statement-breakpoint
DROP INDEX `api_keys_account`;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `scopes` text DEFAULT '["clips:read","clips:write","billing:read","webhooks:write"]' NOT NULL;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `last_used_at_ms` integer;--> statement-breakpoint
CREATE INDEX `api_keys_account` ON `api_keys` (`account_id`,`id`);--> statement-breakpoint
-- What opened a key before opens it still.
INSERT INTO `api_key_secrets` (`sha256`, `key_id`, `created_at_ms`) SELECT `sha256`, `id`, `created_at_ms` FROM `api_keys`;
--> statement-breakpoint
ALTER TABLE `api_keys` DROP COLUMN `sha256`;--> statement-breakpoint
ALTER TABLE `clips` ADD `token_id` text;--> statement-breakpoint
ALTER TABLE `clips` ADD `deleted_at_ms` integer;