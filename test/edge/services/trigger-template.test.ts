import { describe, expect, it } from "vitest";
import { readBody } from "../../../edge/services/triggers/body.ts";
import { findValue, type JsonValue, parsePath } from "../../../edge/services/triggers/path.ts";
import { parseTemplate, render } from "../../../edge/services/triggers/template.ts";
import { LIMITS } from "../../../shared/contract/clips.ts";
import { TRIGGER_LIMITS } from "../../../shared/contract/triggers.ts";
import { ApiError } from "../../../shared/errors.ts";

const valueAt = (text: string, body: JsonValue) => findValue(body, parsePath(text));
const rendered = (source: string, body: JsonValue) => render(parseTemplate(source, "/prompt"), body);

function refusalOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ApiError && error.code === "invalid_request") return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("a path", () => {
  // The examples of RFC 9535, sections 2.2.3, 2.3.1.3, 2.3.3.3 and 2.7.1, that are singular queries.
  const NAMES = { o: { "j j": { "k.k": 3 } }, "'": { "@": 2 } };
  it.each([
    ["$", { k: "v" }, { k: "v" }],
    ["$.o['j j']", NAMES, { "k.k": 3 }],
    ["$.o['j j']['k.k']", NAMES, 3],
    ['$.o["j j"]["k.k"]', NAMES, 3],
    [`$["'"]["@"]`, NAMES, 2],
    ["$[1]", ["a", "b"], "b"],
    ["$[-2]", ["a", "b"], "a"],
    ["$[0]", ["a", "b"], "a"],
    ["$['\\u000B']", { "\v": 1 }, 1],
    ["$['\\'']", { "'": 1 }, 1],
    ["$['\"']", { '"': 1 }, 1],
    ["$['\\\\']", { "\\": 1 }, 1],
    ["$['\\uD834\\uDD1E']", { "𝄞": 1 }, 1],
    ["$.☺", { "☺": 1 }, 1],
    ["$ .a \n['b']", { a: { b: 1 } }, 1],
    ["$.__proto__", JSON.parse('{"__proto__": 7}'), 7],
  ] as const)("%s leads where RFC 9535 says", (path, body, value) => {
    expect(valueAt(path, body as JsonValue)).toEqual(value);
  });

  it.each([
    ["$.b", { a: 1 }],
    ["$.a.b", { a: 1 }],
    ["$.a.b", { a: null }],
    ["$[2]", ["a", "b"]],
    ["$[-3]", ["a", "b"]],
    ["$[0]", { "0": "a member" }],
    ["$['0']", ["an element"]],
    ["$.length", ["a"]],
    ["$.length", "a text"],
    ["$.constructor", {}],
    ["$.__proto__.toString", {}],
    ["$.toString", {}],
  ] as const)("%s leads nowhere in %j, and to nothing inherited", (path, body) => {
    expect(valueAt(path, body as JsonValue)).toBeUndefined();
  });

  it.each([
    "",
    "a",
    " $.a",
    "$.a ",
    "$.",
    "$.1a",
    "$..a",
    "$.*",
    "$[*]",
    "$[0:2]",
    "$[0,1]",
    "$[?@.a]",
    "$[01]",
    "$[-0]",
    "$[1.0]",
    "$[ 0 ]",
    "$[9007199254740992]",
    "$['a",
    "$['a\"]",
    "$['\\\"']",
    '$["\\\'"]',
    "$['\\x']",
    "$['\\uD800']",
    "$['\u0000']",
    "$.a$",
  ])("%j is refused", (path) => {
    expect(() => parsePath(path)).toThrow(/path/);
  });

  it("is refused with one segment too many", () => {
    expect(() => parsePath(`$${".a".repeat(TRIGGER_LIMITS.pathSegments)}`)).not.toThrow();
    expect(() => parsePath(`$${".a".repeat(TRIGGER_LIMITS.pathSegments + 1)}`)).toThrow(/at most 16/);
  });
});

describe("a template", () => {
  const BODY = { text: "a fox", count: 3, half: 0.5, yes: true, none: null, list: [1], deep: { "a b": "c" } };

  it.each([
    ["plain { text }", "plain { text }"],
    ["{{ $.text }} and {{$.count}} and {{ $.half}}, {{ $.yes }}", "a fox and 3 and 0.5, true"],
    ["{{ $.deep['a b'] }}", "c"],
    ['{{ $.list[0] }}{{ $.nothing | "a fall\\"back" }}', '1a fall"back'],
    ['{{ $.none | "instead of null" }}', "instead of null"],
    ['{{ $.nothing | "" }}.', "."],
    ['{{ $.text | "unused" }}', "a fox"],
    ['{{ "{{" }} and {{ "}}" }}', "{{ and }}"],
    ["{{ $.text }}}}", "a fox}}"],
  ])("%j becomes %j", (source, text) => {
    expect(rendered(source, BODY)).toBe(text);
  });

  it("does not read what a value says as a template", () => {
    expect(rendered("{{ $.text }}", { text: "{{ $.secret }}", secret: "told" })).toBe("{{ $.secret }}");
  });

  it.each([
    ["$.nothing", "The body has nothing at $.nothing"],
    ["$.none", "The body has nothing at $.none"],
    ["$.list", "At $.list the body has an array"],
    ["$.deep", "At $.deep the body has an object"],
  ])("refuses a body by %s and names it", (path, detail) => {
    expect(refusalOf(() => rendered(`x {{ ${path} }}`, BODY))).toContain(detail);
  });

  it("does not fall back from an object or an array, which is a mistake and no absence", () => {
    expect(refusalOf(() => rendered('{{ $.list | "x" }}', BODY))).toContain("an array");
  });

  it("refuses a text that is longer than a prompt, with both lengths and not the text", () => {
    const long = "x".repeat(LIMITS.promptCharacters + 1);
    const detail = refusalOf(() => rendered("{{ $.long }}", { long }));
    expect(detail).toContain("4001 characters");
    expect(detail).not.toContain("xxx");
  });

  it.each([
    ["a {{ $.b", "begins at character 3"],
    ["a {{ b }}", "begins with $ (character 6)"],
    ["{{}}", "begins with $ (character 3)"],
    ["{{ $..b }}", "(character 5)"],
    ["{{ $.b | c }}", "fallback in double quotes"],
    ["{{ $.b | 'c' }}", "fallback in double quotes"],
    ['{{ $.b | "c }}', "fallback in double quotes"],
    ['{{ "\\q" }}', "no JSON string"],
    ["{{ $.b $.c }}", "does not end with }}"],
  ])("%j is refused at its place when it is made", (source, detail) => {
    expect(refusalOf(() => parseTemplate(source, "/prompt"))).toContain(detail);
  });

  it("is refused with one placeholder too many", () => {
    const most = "{{ $.a }}".repeat(TRIGGER_LIMITS.placeholders);
    expect(parseTemplate(most, "/prompt")).toHaveLength(TRIGGER_LIMITS.placeholders);
    expect(refusalOf(() => parseTemplate(`${most}{{ $.a }}`, "/prompt"))).toContain("at most 50 placeholders, not 51");
  });
});

describe("a posted body", () => {
  it.each([
    ["application/json", '{"a": [1]}', { a: [1] }],
    ["application/json; charset=utf-8", "7", 7],
    ["application/cloudevents+json", '{"a": 1}', { a: 1 }],
    [null, '{"a": 1}', { a: 1 }],
    ["application/x-www-form-urlencoded", "payload=%7B%22a%22%3A1%7D", { a: 1 }],
    ["application/x-www-form-urlencoded", "a=one+two&b=1&b=2", { a: "one two", b: ["1", "2"] }],
    ["application/x-www-form-urlencoded", "payload=text&more=1", { payload: "text", more: "1" }],
  ])("of type %s is read from %s", (type, text, value) => {
    expect(readBody(type, text)).toEqual(value);
  });

  it("keeps a form's __proto__ a field like any other", () => {
    expect(findValue(readBody("application/x-www-form-urlencoded", "__proto__=x"), parsePath("$.a"))).toBeUndefined();
    expect(valueAt("$.__proto__", readBody("application/x-www-form-urlencoded", "__proto__=x"))).toBe("x");
  });

  it.each([
    ["application/json", "", "The body is not JSON"],
    ["application/json", "{a: 1}", "The body is not JSON"],
    ["application/x-www-form-urlencoded", "payload=x", "The field payload of the form is not JSON"],
    ["text/plain", "{}", "Content-Type"],
    ["multipart/form-data; boundary=x", "--x--", "Content-Type"],
  ])("of type %s is refused where it is %j", (type, text, detail) => {
    expect(refusalOf(() => readBody(type, text))).toContain(detail);
  });
});
