CREATE TABLE `webhook_attempts` (
	`message_id` text NOT NULL,
	`lane` text NOT NULL,
	`attempt` integer NOT NULL,
	`at_ms` integer NOT NULL,
	`duration_ms` integer NOT NULL,
	`status` integer,
	`error` text,
	`answer` text,
	PRIMARY KEY(`message_id`, `lane`, `attempt`),
	FOREIGN KEY (`message_id`) REFERENCES `webhook_messages`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `webhook_deliveries` (
	`message_id` text NOT NULL,
	`lane` text NOT NULL,
	`account_id` text NOT NULL,
	`url` text NOT NULL,
	`state` text NOT NULL,
	`attempts` integer NOT NULL,
	`replayed_after` integer NOT NULL,
	`next_attempt_at_ms` integer NOT NULL,
	`last_status` integer,
	`last_error` text,
	PRIMARY KEY(`message_id`, `lane`),
	FOREIGN KEY (`message_id`) REFERENCES `webhook_messages`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `webhook_deliveries_due` ON `webhook_deliveries` (`lane`,`next_attempt_at_ms`) WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX `webhook_deliveries_overdue` ON `webhook_deliveries` (`next_attempt_at_ms`) WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX `webhook_deliveries_account` ON `webhook_deliveries` (`account_id`,`message_id`);--> statement-breakpoint
CREATE INDEX `webhook_deliveries_state` ON `webhook_deliveries` (`account_id`,`state`,`message_id`);--> statement-breakpoint
CREATE TABLE `webhook_endpoints` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`url` text NOT NULL,
	`events` text,
	`disabled_reason` text,
	`disabled_at_ms` integer,
	`failing_since_ms` integer,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `webhook_endpoints_account` ON `webhook_endpoints` (`account_id`,`id`);--> statement-breakpoint
CREATE TABLE `webhook_messages` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`clip_id` text,
	`type` text NOT NULL,
	`payload` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`account_id`) REFERENCES `accounts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`clip_id`) REFERENCES `clips`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `webhook_messages_age` ON `webhook_messages` (`created_at_ms`);--> statement-breakpoint
CREATE INDEX `webhook_messages_clip` ON `webhook_messages` (`clip_id`) WHERE clip_id is not null;--> statement-breakpoint
CREATE TABLE `webhook_secrets` (
	`id` text PRIMARY KEY NOT NULL,
	`owner` text NOT NULL,
	`sealed` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer
);
--> statement-breakpoint
CREATE INDEX `webhook_secrets_owner` ON `webhook_secrets` (`owner`);--> statement-breakpoint
ALTER TABLE `clips` ADD `webhook_url` text;--> statement-breakpoint
-- What happens to a clip and that it is to be told are one transaction, whoever records the event (decision 0060).
-- The host of a normalised URL is what stands between :// and the next slash.
CREATE TRIGGER `clip_events_tell` AFTER INSERT ON `clip_events`
WHEN NEW.`event` IN ('started', 'succeeded', 'failed', 'cancelled', 'expired')
BEGIN
	INSERT INTO `webhook_messages` (`id`, `account_id`, `clip_id`, `type`, `payload`, `created_at_ms`)
	SELECT NEW.`id`, c.`account_id`, c.`id`, 'clip.' || NEW.`event`,
		json_object(
			'type', 'clip.' || NEW.`event`,
			'timestamp', strftime('%Y-%m-%dT%H:%M:%fZ', NEW.`at_ms` / 1000.0, 'unixepoch'),
			'data', json_object(
				'id', c.`id`,
				'object', 'clip',
				'path', '/v1/clips/' || c.`id`,
				'state', CASE NEW.`event` WHEN 'started' THEN 'running' ELSE NEW.`event` END,
				'model', c.`model`,
				'price_micros', c.`price_micros`,
				'charged_micros', CASE NEW.`event` WHEN 'succeeded' THEN c.`price_micros` ELSE 0 END,
				'error', CASE WHEN c.`error_code` IS NULL THEN NULL
					ELSE json_object('code', c.`error_code`, 'message', coalesce(c.`error_message`, '')) END,
				'created_at', strftime('%Y-%m-%dT%H:%M:%fZ', c.`created_at_ms` / 1000.0, 'unixepoch'),
				'started_at', strftime('%Y-%m-%dT%H:%M:%fZ', c.`started_at_ms` / 1000.0, 'unixepoch'),
				'finished_at', strftime('%Y-%m-%dT%H:%M:%fZ', c.`finished_at_ms` / 1000.0, 'unixepoch')
			)
		),
		NEW.`at_ms`
	FROM `clips` c
	WHERE c.`id` = NEW.`clip_id`
		AND (NEW.`event` <> 'started' OR NOT EXISTS (
			SELECT 1 FROM `clip_events` e WHERE e.`clip_id` = c.`id` AND e.`event` = 'started' AND e.`id` <> NEW.`id`))
		AND (c.`webhook_url` IS NOT NULL OR EXISTS (
			SELECT 1 FROM `webhook_endpoints` w WHERE w.`account_id` = c.`account_id` AND w.`disabled_at_ms` IS NULL
				AND (w.`events` IS NULL OR EXISTS (
					SELECT 1 FROM json_each(w.`events`) WHERE `value` = 'clip.' || NEW.`event`))));
	INSERT INTO `webhook_deliveries`
		(`message_id`, `lane`, `account_id`, `url`, `state`, `attempts`, `replayed_after`, `next_attempt_at_ms`)
	SELECT m.`id`, w.`id`, m.`account_id`, w.`url`, 'pending', 0, 0, NEW.`at_ms`
	FROM `webhook_messages` m JOIN `webhook_endpoints` w ON w.`account_id` = m.`account_id`
	WHERE m.`id` = NEW.`id` AND w.`disabled_at_ms` IS NULL
		AND (w.`events` IS NULL OR EXISTS (SELECT 1 FROM json_each(w.`events`) WHERE `value` = m.`type`))
	UNION ALL
	SELECT m.`id`,
		m.`account_id` || '@' || substr(substr(c.`webhook_url`, instr(c.`webhook_url`, '://') + 3), 1,
			instr(substr(c.`webhook_url`, instr(c.`webhook_url`, '://') + 3), '/') - 1),
		m.`account_id`, c.`webhook_url`, 'pending', 0, 0, NEW.`at_ms`
	FROM `webhook_messages` m JOIN `clips` c ON c.`id` = m.`clip_id`
	WHERE m.`id` = NEW.`id` AND c.`webhook_url` IS NOT NULL;
END;
