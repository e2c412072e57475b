CREATE TABLE `clip_refunds` (
	`clip_id` text PRIMARY KEY NOT NULL,
	`captured_micros` integer NOT NULL,
	`refunded_micros` integer NOT NULL,
	FOREIGN KEY (`clip_id`) REFERENCES `clips`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "refund_within_capture" CHECK("clip_refunds"."refunded_micros" <= "clip_refunds"."captured_micros")
);
