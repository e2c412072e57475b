CREATE TABLE `daily_spend` (
	`spender` text NOT NULL,
	`spender_id` text NOT NULL,
	`utc_day` integer NOT NULL,
	`spent_micros` integer NOT NULL,
	`cap_micros` integer,
	PRIMARY KEY(`spender_id`, `utc_day`),
	CONSTRAINT "daily_spend_not_negative" CHECK("daily_spend"."spent_micros" >= 0),
	CONSTRAINT "account_daily_cap" CHECK("daily_spend"."spender" <> 'account' or "daily_spend"."cap_micros" is null or "daily_spend"."spent_micros" <= "daily_spend"."cap_micros"),
	CONSTRAINT "key_daily_cap" CHECK("daily_spend"."spender" <> 'key' or "daily_spend"."cap_micros" is null or "daily_spend"."spent_micros" <= "daily_spend"."cap_micros")
);
--> statement-breakpoint
CREATE TABLE `in_flight` (
	`account_id` text PRIMARY KEY NOT NULL,
	`clips` integer NOT NULL,
	`allowed` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "in_flight_not_negative" CHECK("in_flight"."clips" >= 0),
	CONSTRAINT "in_flight_allowed" CHECK("in_flight"."clips" <= "in_flight"."allowed")
);
--> statement-breakpoint
ALTER TABLE `accounts` ADD `daily_cap_micros` integer;--> statement-breakpoint
ALTER TABLE `accounts` ADD `max_in_flight` integer DEFAULT 1000 NOT NULL;--> statement-breakpoint
ALTER TABLE `api_keys` ADD `daily_cap_micros` integer;--> statement-breakpoint
ALTER TABLE `clips` ADD `key_id` text REFERENCES api_keys(id);--> statement-breakpoint
ALTER TABLE `ledger_entries` ADD `key_id` text REFERENCES api_keys(id);--> statement-breakpoint
-- What was ordered before counts as well.
INSERT INTO `in_flight` (`account_id`, `clips`, `allowed`)
SELECT `account_id`, count(*) FILTER (WHERE `state` IN ('queued', 'leased', 'running')), 1000 FROM `clips` GROUP BY `account_id`;
--> statement-breakpoint
INSERT INTO `daily_spend` (`spender`, `spender_id`, `utc_day`, `spent_micros`)
SELECT 'account', `account_id`, `created_at_ms` / 86400000, sum(`price_micros`) FROM `clips`
WHERE `state` NOT IN ('failed', 'cancelled', 'expired') GROUP BY 2, 3;
