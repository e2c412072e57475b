import { beforeEach, describe, expect, test } from "vitest";
import { isPublicAddress } from "../../../edge/services/webhooks/addresses.ts";
import { checkTarget } from "../../../edge/services/webhooks/guard.ts";
import { Receivers } from "../support/receivers.ts";

let receivers: Receivers;
const check = async (url: string, trusted: readonly string[] = []) =>
  await checkTarget(
    { resolver: receivers, trustedHosts: new Set(trusted), publicOrigin: "https://clips.example" },
    url,
    "/url",
  );

beforeEach(() => {
  receivers = new Receivers();
  receivers.host("example.com");
});

describe("what is refused by its form", () => {
  test.each([
    "nonsense",
    "http://example.com/",
    "ftp://example.com/",
    "https://user:password@example.com/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://localhost/",
    "https://api.localhost./",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://intranet/",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://017700000001/",
    "https://10.0.0.8/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0.0.0.0/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:db8::1]/",
    "https://[ff02::1]/",
  ])("%s", async (url) => {
    await expect(check(url)).rejects.toMatchObject({ code: "invalid_request", pointer: "/url" });
  });
});

describe("what its name resolves to", () => {
  test.each([
    [["10.0.0.1"]],
    [["93.184.215.14", "127.0.0.1"]],
    [["93.184.215.14", "::ffff:10.0.0.1"]],
    [["2606:2800:21f:cb07::1", "fd12::1"]],
    [["not an address"]],
    [[]],
  ])("%j is refused", async (addresses) => {
    receivers.addresses.set("example.com", addresses);
    await expect(check("https://example.com/")).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("a name that does not exist is refused", async () => {
    await expect(check("https://nobody.example/")).rejects.toThrow("could not be resolved");
  });

  test("public addresses pass, and the URL comes back normalised", async () => {
    expect(await check("HTTPS://Example.COM:443/a/../hook?x=1")).toBe("https://example.com/hook?x=1");
    expect(await check("https://8.8.8.8:8443/")).toBe("https://8.8.8.8:8443/");
    expect(await check("https://[2606:4700::1111]/")).toBe("https://[2606:4700::1111]/");
  });
});

test("nothing is sent to ourselves, where an end could order the next clip without end", async () => {
  receivers.host("clips.example");
  await expect(check("https://clips.example/hooks/x")).rejects.toThrow("another server");
  await expect(check("https://CLIPS.example:443/", ["clips.example"])).rejects.toThrow("another server");
  expect(await check("https://clips.example:8443/")).toBe("https://clips.example:8443/");
});

test("an operator's own receivers are reached over http and at any address, and nothing else is", async () => {
  expect(await check("http://127.0.0.1:9000/hook", ["127.0.0.1"])).toBe("http://127.0.0.1:9000/hook");
  await expect(check("http://127.0.0.2:9000/hook", ["127.0.0.1"])).rejects.toThrow("https://");
});

test("an address is public only if it is one", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    ":",
    "1::2::3",
    "2606:",
    "2606:4700:0:0:0:0:0:0:1",
    "g::1",
  ]) {
    expect(isPublicAddress(text)).toBe(false);
  }
  for (const text of ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::", "2a00:1450:4001:82a:0:0:0:200e"]) {
    expect(isPublicAddress(text)).toBe(true);
  }
});
