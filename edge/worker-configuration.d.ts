// Generated from wrangler.toml by `npm run generate`.
interface __BaseEnv_Env {
	BUCKET: R2Bucket;
	DB: D1Database;
	DISPATCHER: DurableObjectNamespace<import("./index").Dispatcher>;
	FEED: DurableObjectNamespace<import("./index").Feed>;
	LIMITER: DurableObjectNamespace<import("./index").Limiter>;
	OUTBOX: DurableObjectNamespace<import("./index").Outbox>;
}
declare namespace Cloudflare {
	interface GlobalProps {
		mainModule: typeof import("./index");
		durableNamespaces: "Dispatcher" | "Feed" | "Limiter" | "Outbox";
	}
	interface Env extends __BaseEnv_Env {}
}
interface Env extends __BaseEnv_Env {}
declare module "*.txt" {
	const value: string;
	export default value;
}
declare module "*.html" {
	const value: string;
	export default value;
}
declare module "*.sql" {
	const value: string;
	export default value;
}
declare module "*.bin" {
	const value: ArrayBuffer;
	export default value;
}
declare module "*.wasm" {
	const value: WebAssembly.Module;
	export default value;
}
declare module "*.wasm?module" {
	const value: WebAssembly.Module;
	export default value;
}