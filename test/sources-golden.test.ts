/** What is measured of each captured machine, word for word? Golden: bless with `vitest run test/sources-golden.test.ts --update`. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { sources } from "../agent/sources/index.ts"
import { readEvent, writeEvent } from "../attestation/protocol/event.ts"
import { contextOf, hostNames, measured, on } from "./hosts.ts"

const hasher = new Hasher()
afterAll(() => hasher.close())

/** All but the agent's own code, which is another with every change. */
const told = sources.map(({ name }) => name).filter(name => name !== "agent")

async function textOf(host: string): Promise<string> {
  const context = contextOf(hasher, on(host))
  const parts: string[] = []
  for (const name of told)
    for (const event of await measured(name, context)) {
      expect(readEvent(writeEvent(event))).toEqual(event)
      parts.push(`${event.source} ${event.subject || "-"}: ${event.state}`)
      parts.push(...event.facts.map(([fact, value]) => `  ${fact}: ${value}`))
    }
  return `${parts.join("\n")}\n`
}

it.each(hostNames)("%s", async host => {
  const text = await textOf(host)
  await expect(text).toMatchFileSnapshot(join(import.meta.dirname, "golden/hosts", `${host}.txt`))
  expect(await textOf(host)).toBe(text)
})

it("is another for each machine", async () => {
  const texts = await Promise.all(hostNames.map(textOf))
  expect(new Set(texts).size).toBe(hostNames.length)
  expect(hostNames.length).toBeGreaterThanOrEqual(8)
})

/** What one source says of a machine, as its golden file has it; nothing where all of it is absent or unreadable. */
function foundBy(source: string, host: string): string {
  const text = readFileSync(join(import.meta.dirname, "golden/hosts", `${host}.txt`), "utf8")
  const events = text.split(/^(?=\S)/m).filter(each => each.startsWith(`${source} `))
  return events.filter(each => /^.*: present\n/.test(each)).join("")
}

it.each(told)("of %s is another for a populated machine and for one that contradicts it", source => {
  const [one, other] = ["workstation-nvidia", "workstation-nvidia-other"].map(host => foundBy(source, host))
  expect(one).not.toBe("")
  expect(other).not.toBe("")
  expect(other).not.toBe(one)
  const stories = new Set(hostNames.map(host => foundBy(source, host)).filter(each => each !== ""))
  expect(stories.size).toBeGreaterThan(1)
})

it.each(["firmware", "driver", "runtime", "loaded"])("of %s shows two that disagree", source => {
  expect(hostNames.filter(host => foundBy(source, host).includes("\n  contradiction: "))).not.toEqual([])
})

it("has a section of docs/sources.md for each source, in their order", () => {
  const page = readFileSync(join(import.meta.dirname, "../docs/sources.md"), "utf8")
  const sections = [...page.matchAll(/^## ([a-z]+)$/gm)].map(([, name]) => name)
  expect(sections).toEqual(sources.map(({ name }) => name))
  expect(page).toContain(`[${sections.join(", ")}]`)
})

it("has a line of its page for each machine", () => {
  const page = readFileSync(join(import.meta.dirname, "hosts/README.md"), "utf8")
  expect(hostNames.filter(name => !page.includes(`\`${name}\``))).toEqual([])
})
