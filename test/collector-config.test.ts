/** Does collector.toml mean what its page says, and is what it does not mean refused with the nearest word? */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { defaults, file, readConfiguration } from "../collector/config.ts"
import { BadConfiguration, everyKey, nearest } from "../local/configuration.ts"

const read = (text: string, environment: Record<string, string> = {}) =>
  readConfiguration(text, { hostname: "gpu-collector", environment })

function refusal(text: string): string {
  try {
    read(text)
  } catch (error) {
    if (error instanceof BadConfiguration) return `${error.message} / ${error.hint}`
    throw error
  }
  return "accepted"
}

test("an empty file gives every default", () => {
  const { advertise, ...same } = read("")
  expect({ ...same, advertise: { port: advertise.port } }).toEqual(defaults)
  expect(advertise.host).toBe("gpu-collector")
})

test("what the file says goes before systemd's folders, and these before the defaults", () => {
  const environment = { STATE_DIRECTORY: "/a:/b", RUNTIME_DIRECTORY: "/r" }
  expect(read("", environment)).toMatchObject({ state: "/a", runtime: "/r" })
  expect(read(`state = "/mine"`, environment)).toMatchObject({ state: "/mine", runtime: "/r" })
})

test("an unknown key is refused, and the nearest known one named", () => {
  expect(refusal("staet = 1")).toBe("unknown key staet / did you mean state?")
  expect(refusal("[challenge]\nevry = 9")).toBe("unknown key challenge.evry / did you mean challenge.every?")
  expect(refusal("[limits]\nxyzzy = 9")).toMatch(/^unknown key limits.xyzzy \/ the keys here are connections, /)
})

test("a value that does not fit is refused by its name", () => {
  expect(refusal("[challenge]\nevery = 0")).toMatch(/^challenge\.every: /)
  expect(refusal(`[listen]\nport = "x"`)).toMatch(/^listen\.port: /)
  expect(refusal(`state = "here"`)).toMatch(/^state: not a path/)
  expect(refusal("[evidence]\npcrs = [24]")).toMatch(/^evidence\.pcrs\.0: /)
  expect(refusal("[challenge]\nevery = 900\nstale = 900")).toMatch("stale is not longer")
  expect(refusal("state = ")).toMatch(/^line 1: .* \/ the file is TOML/)
})

test("the page lists every key, with its default, and no other", () => {
  const page = readFileSync(join(import.meta.dirname, "../docs/collector-configuration.md"), "utf8")
  const rows = [...page.matchAll(/^\| `([a-z.]+)` \| ([^|]+) \|/gm)]
  const listed = rows.map(([, key = "", value = ""]) => [key, value.trim()] as const)
  expect(new Set(listed.map(([key]) => key))).toEqual(new Set(everyKey(file)))
  const valueOf = (key: string): unknown =>
    key.split(".").reduce<unknown>((table, name) => (table as Record<string, unknown>)[name], defaults)
  for (const [key, value] of listed)
    if (value.startsWith("`")) expect(value, key).toBe(`\`${JSON.stringify(valueOf(key)).replaceAll(",", ", ")}\``)
    else expect(key).toBe("advertise.host")
})

test("nearness is by edits, within reason", () => {
  expect(nearest("deadlne", ["deadline", "delivery"])).toBe("deadline")
  expect(nearest("zzz", ["deadline"])).toBeUndefined()
})
