/** Is `assay measure` a table that a person understands: component, fact, value, and where each fact comes from? */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { z } from "zod"
import { Hasher } from "../agent/hash/hasher.ts"
import { sources } from "../agent/sources/index.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { inventory, type InventoryRow, writeInventory } from "../cli/inventory.ts"
import { type FactRow, factRows, writeMachine } from "../cli/machine.ts"
import type { Output } from "../cli/terminal.ts"
import { contextOf, hostNames, on } from "./hosts.ts"

const hasher = new Hasher()
const scratch = mkdtempSync(join(tmpdir(), "assay-machine-"))
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

async function factsOf(host: string): Promise<FactRow[]> {
  const found: Measurement[] = []
  for (const source of sources.filter(({ name }) => !["agent", "weights"].includes(name)))
    found.push(...(await source.measure(contextOf(hasher, on(host)))))
  return factRows(found)
}

function tableOf(rows: readonly FactRow[], absent: "counted" | "told"): string {
  let text = ""
  const out: Output = { write: each => (text += String(each)), style: (_, each) => each, watched: false, width: 100 }
  writeMachine(out, rows, absent)
  return text
}

describe("the table", () => {
  it("of a workstation is what a person reads", async () => {
    const table = tableOf(await factsOf("rtx-4090"), "counted")
    await expect(table).toMatchFileSnapshot(join(import.meta.dirname, "golden/machine.txt"))
  })

  it.each(hostNames)("says of each fact of %s where it comes from", async host => {
    const rows = await factsOf(host)
    expect(rows.filter(({ source }) => source === "")).toEqual([])
    const places = rows.map(({ source }) => source).filter(each => !each.startsWith("/"))
    const words = new Set(["compared", "the TPM, by the broker", "fixed folders", "fixed folders, /proc"])
    expect(places.filter(each => !words.has(each))).toEqual([])
  })

  it.each([80, 100])("fits a terminal of %i columns, and loses no row", async columns => {
    const rows = await factsOf("workstation-nvidia")
    let text = ""
    const shown = { write: (each: string | Uint8Array) => (text += String(each)), watched: true, width: columns }
    writeMachine({ ...shown, style: (_, each) => each }, rows, "counted")
    const lines = text.split("\n").filter(line => line.startsWith("  "))
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(columns)
    const flat = text.replaceAll(/\s+/g, " ")
    for (const { value } of rows.filter(({ fact }) => fact === "unreadable")) expect(flat).toContain(value)
    expect(text).toMatch(/^ {2}digest +sha256:[0-9a-f]{12}… .*libcuda\.so\.550\.120$/m)
  })

  it("counts what is absent, or names it, and loses nothing else", async () => {
    const rows = await factsOf("bare")
    const [short, long] = [tableOf(rows, "counted"), tableOf(rows, "told")]
    expect(short.split("\n").length).toBeLessThan(long.split("\n").length)
    expect(long).toContain("/sys/kernel/security/lockdown")
    expect(short).not.toContain("/sys/kernel/security/lockdown")
    for (const { fact, value } of rows.filter(each => each.fact !== "absent"))
      expect(short, fact).toContain(value.slice(0, 12))
  })

  it("shows hostile text as one line that only shows itself", async () => {
    const table = tableOf(await factsOf("hostile"), "told")
    // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
    expect(table).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    expect(Math.max(...table.split("\n").map(line => line.length))).toBeLessThan(300)
  })
})

describe("the inventory beside it", () => {
  const shown = (rows: readonly InventoryRow[]): string => {
    let text = ""
    const out: Output = { write: each => (text += String(each)), style: (_, each) => each, watched: false, width: 100 }
    writeInventory(out, rows)
    return text
  }
  const kernel = (value: string): FactRow[] => [
    { component: "kernel running", fact: "/proc/sys/kernel/osrelease", value, source: "/proc/sys/kernel/osrelease" },
  ]

  it("of a real machine agrees with its kernel, and is called nobody's measurement", async () => {
    const release = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim()
    const rows = await inventory(kernel(release))
    expect(rows[0]).toEqual({ name: "kernel", says: release, measured: release, differs: false })
    expect(shown(rows)).toContain("measured by nobody")
    expect(shown(rows)).not.toContain("contradicts")
  })

  it("shows that it contradicts what was measured", async () => {
    const rows = await inventory(await factsOf("rtx-4090"))
    expect(rows[0]).toMatchObject({ name: "kernel", measured: "6.8.0-60-generic", differs: true })
    expect(shown(rows)).toMatch(/^ {2}kernel .* contradicts what was measured: 6\.8\.0-60-generic$/m)
  })
})

describe("on this machine", () => {
  const command = join(import.meta.dirname, "../cli/assay.mjs")
  const schema = z.object({
    facts: z.array(z.strictObject({ component: z.string(), fact: z.string(), value: z.string(), source: z.string() })),
  })
  /** Programs that are the only source of a fact; whatever else it started would be a surprise. */
  const programs = /^\/usr\/(?:s?bin\/(?:nvidia-smi|bpftool|fwupdmgr))$|^\/opt\/rocm[^/]*\/bin\//

  /** Notes each process that Node.js starts, in threads too, in the file that the environment names. */
  const notes = `import { subscribe } from "node:diagnostics_channel"
    import { appendFileSync } from "node:fs"
    subscribe("child_process", ({ process: child }) =>
      child.once("spawn", () => appendFileSync(process.env.STARTED, child.spawnfile + "\\n")))`

  async function run(...given: readonly string[]): Promise<{ stdout: string; stderr: string; children: string[] }> {
    const started = join(mkdtempSync(join(scratch, "run-")), "started")
    writeFileSync(started, "")
    const watched = ["--import", `data:text/javascript,${encodeURIComponent(notes)}`, command, "measure", ...given]
    const env = { ...process.env, STARTED: started }
    const child = spawn(process.execPath, watched, { stdio: ["ignore", "pipe", "pipe"], env })
    const said = { stdout: "", stderr: "" }
    for (const stream of ["stdout", "stderr"] as const)
      child[stream].setEncoding("utf8").on("data", (text: string) => (said[stream] += text))
    await new Promise<void>(resolve => child.once("close", () => resolve()))
    return { ...said, children: readFileSync(started, "utf8").split("\n").filter(Boolean) }
  }

  it("says what there is, and starts no process but programs that are a fact's only source", async () => {
    const { stdout, stderr, children } = await run("--json")
    expect(stderr).toBe("")
    const { facts } = schema.parse(JSON.parse(stdout))
    const release = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim()
    expect(facts).toContainEqual({
      component: "kernel running",
      fact: "/proc/sys/kernel/osrelease",
      value: release,
      source: "/proc/sys/kernel/osrelease",
    })
    expect(children.filter(each => !programs.test(each))).toEqual([])
    const bpftool = facts.some(({ component, fact }) => component === "kernel bpf" && fact === "program/digest")
    expect(children.includes("/usr/sbin/bpftool")).toBe(bpftool)
  })

  it("refuses a nonce for which no evidence is made", async () => {
    const { stdout, stderr } = await run("--nonce", "6b".repeat(32))
    expect(stdout).toBe("")
    expect(stderr).toMatch(/hint: name a folder for it: --out/)
  })
})
