CREATE TABLE `accounts` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`created_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`name` text NOT NULL,
	`shown_prefix` text NOT NULL,
	`sha256` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer,
	`revoked_at_ms` integer,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `api_keys_account` ON `api_keys` (`account_id`);--> statement-breakpoint
CREATE TABLE `balances` (
	`account_id` text PRIMARY KEY NOT NULL,
	`posted_micros` integer NOT NULL,
	`pending_micros` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "balance_covers_holds" CHECK("balances"."posted_micros" - "balances"."pending_micros" >= 0),
	CONSTRAINT "balance_pending_not_negative" CHECK("balances"."pending_micros" >= 0)
);
--> statement-breakpoint
CREATE TABLE `clip_events` (
	`id` text PRIMARY KEY NOT NULL,
	`clip_id` text NOT NULL,
	`attempt` integer NOT NULL,
	`event` text NOT NULL,
	`detail` text,
	`batch_id` text NOT NULL,
	`at_ms` integer NOT NULL,
	FOREIGN KEY (`clip_id`) REFERENCES `clips`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `clip_events_once` ON `clip_events` (`clip_id`,`attempt`,`event`);--> statement-breakpoint
CREATE INDEX `clip_events_batch` ON `clip_events` (`batch_id`);--> statement-breakpoint
CREATE TABLE `clips` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`state` text NOT NULL,
	`model` text NOT NULL,
	`prompt` text NOT NULL,
	`size` text NOT NULL,
	`frames` integer NOT NULL,
	`steps` integer NOT NULL,
	`sampler` text NOT NULL,
	`seed` integer NOT NULL,
	`price_micros` integer NOT NULL,
	`attempt` integer NOT NULL,
	`handed_back` integer NOT NULL,
	`lease_token` text,
	`lease_until_ms` integer,
	`runner_id` text,
	`poll_nonce` text,
	`progress` text,
	`progress_at_ms` integer,
	`error_code` text,
	`error_message` text,
	`timings` text,
	`engine` text,
	`outputs` text,
	`output_expires_at_ms` integer,
	`created_at_ms` integer NOT NULL,
	`started_at_ms` integer,
	`finished_at_ms` integer,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`runner_id`) REFERENCES `runners`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `clips_lease_token` ON `clips` (`lease_token`);--> statement-breakpoint
CREATE UNIQUE INDEX `clips_runner_nonce` ON `clips` (`runner_id`,`poll_nonce`);--> statement-breakpoint
CREATE INDEX `clips_account` ON `clips` (`account_id`,`id`);--> statement-breakpoint
CREATE INDEX `clips_queued` ON `clips` (`id`,`model`) WHERE state = 'queued';--> statement-breakpoint
CREATE INDEX `clips_leased` ON `clips` (`lease_until_ms`) WHERE state in ('leased', 'running');--> statement-breakpoint
CREATE TABLE `idempotency_keys` (
	`account_id` text NOT NULL,
	`operation` text NOT NULL,
	`key` text NOT NULL,
	`fingerprint` text NOT NULL,
	`answer` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	PRIMARY KEY(`account_id`, `operation`, `key`),
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `ledger_entries` (
	`transaction_id` text NOT NULL,
	`book` text NOT NULL,
	`account_id` text NOT NULL,
	`clip_id` text,
	`kind` text NOT NULL,
	`amount_micros` integer NOT NULL,
	`reason` text,
	`at_ms` integer NOT NULL,
	PRIMARY KEY(`transaction_id`, `book`),
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`clip_id`) REFERENCES `clips`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `ledger_account` ON `ledger_entries` (`account_id`,`transaction_id`);--> statement-breakpoint
CREATE UNIQUE INDEX `ledger_one_hold` ON `ledger_entries` (`clip_id`) WHERE book = 'held' and amount_micros > 0;--> statement-breakpoint
CREATE UNIQUE INDEX `ledger_one_resolution` ON `ledger_entries` (`clip_id`) WHERE book = 'held' and amount_micros < 0;--> statement-breakpoint
CREATE TABLE `runners` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`token_sha256` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`last_seen_ms` integer,
	`models` text NOT NULL,
	`loaded_model` text,
	`version` text
);
