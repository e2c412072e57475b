// `node_modules/.bin/drizzle-kit generate --name <what>` writes the next migration from db/schema.ts.
import { defineConfig } from "drizzle-kit";

export default defineConfig({ dialect: "sqlite", schema: "./db/schema.ts", out: "./db/migrations" });
