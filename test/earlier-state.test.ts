/**
 * Do the state folders of an earlier version open? The command of today runs on a copy of each kept folder: the collector's store, the
 * agent's spool and enrolment, the broker's sealed keys on the TPM that sealed them. What the folders hold: their README.md.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { endOf, launchTpm, stateFile, tctiOf } from "../scripts/swtpm.ts"

const golden = join(import.meta.dirname, "golden")
const assay = join(import.meta.dirname, "../cli/assay.mjs")
const kept = readdirSync(golden).filter(name => name.startsWith("state-"))

it("keeps the state of a version", () => expect(kept).toContain("state-0.1.0"))

describe.each(kept)("%s", name => {
  const folder = mkdtempSync(join(tmpdir(), "earlier-"))
  const running: ChildProcess[] = []
  const said = { collector: "", agent: "" }

  beforeAll(async () => {
    cpSync(join(golden, name), folder, { recursive: true })
    asKept(folder)
    const port = await freePort()
    const enrolment = join(folder, "agent/enrolment.json")
    writeFileSync(enrolment, readFileSync(enrolment, "utf8").replace(/"port":\d+/, `"port":${port}`))
    running.push(await launchTpm(join(folder, "tpm")))
    writeFileSync(
      join(folder, "collector.toml"),
      `state = "${folder}/collector"\nruntime = "${folder}/rc"\nlisten = { host = "127.0.0.1", port = ${port} }\n`,
    )
    writeFileSync(
      join(folder, "agent.toml"),
      `state = "${folder}/agent"\nruntime = "${folder}/ra"\ntpm = { tcti = "${tctiOf(join(folder, "tpm"))}", software = true }\n`,
    )
    for (const who of ["collector", "agent"] as const) {
      const child = spawn(process.execPath, [assay, who, "--config", join(folder, `${who}.toml`)], {
        stdio: ["ignore", "ignore", "pipe"],
      })
      child.stderr.on("data", chunk => (said[who] += String(chunk)))
      running.push(child)
      await until(() => ask("status", `--${who}-config`, join(folder, `${who}.toml`)).status !== 69)
    }
  })
  afterAll(async () => {
    for (const child of running.toReversed()) {
      const ended = endOf(child)
      child.kill("SIGTERM")
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  })

  const collector = (...given: string[]) => ask(...given, "--config", join(folder, "collector.toml"))
  const agentStatus = (): { spool: { waiting: number }; attester: string; refused: unknown } =>
    JSON.parse(ask("status", "--agent-config", join(folder, "agent.toml"), "--json").stdout).agent

  it("is the same machine under the same name", () => {
    const { attesters }: { attesters: { attester: string }[] } = JSON.parse(collector("attesters", "--json").stdout)
    expect(attesters.map(({ attester }) => attester)).toEqual([agentStatus().attester])
  })

  it("sets aside what waited, whole, and says why: evidence of then is not verified any more", async () => {
    await until(() => said.agent.includes("waiting/000000000006"))
    expect(agentStatus().spool.waiting).toBe(0)
    const lines = said.agent.split("\n").filter(line => line.includes("in the spool cannot be read"))
    expect(lines).toHaveLength(6)
    for (const line of lines) expect(line).toContain("version 0.1.0 wrote it")
    expect(readdirSync(join(folder, "agent/spool/damaged"))).toHaveLength(6)
    expect(said.agent).not.toMatch(/refused|check the disk/)
  })

  it("answers a challenge, under the keys that the TPM of then had sealed", async () => {
    await until(() => [0, 3].includes(collector("challenge").status ?? -1)).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${said.agent}\n${said.collector}`)
    })
    expect(agentStatus().refused).toBeNull()
  })

  it("still knows what people decided", () => {
    expect(collector("invitations").stdout).toContain("gpu-2")
    expect(collector("roots", "list").stdout).toContain("our hypervisor")
    expect(collector("reference", "show").status).toBe(0)
  })

  it("exports what was kept then", () => {
    expect(collector("export", "--out", join(folder, "exported")).status).toBe(0)
  })

  it("was opened without a complaint", () => {
    expect(said.collector).not.toMatch(/error|fault/)
  })
})

/** git keeps no modes; the programs refuse a state folder that others may read. */
function asKept(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o700 : 0o600)
  chmodSync(join(folder, "tpm", stateFile), 0o640)
}

const ask = (...given: string[]) => spawnSync(process.execPath, [assay, ...given], { encoding: "utf8" })

async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 50_000; !holds(); ) {
    if (Date.now() > end) throw new Error("it did not come about in 50 s")
    await delay(200)
  }
}

function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() =>
        typeof address === "object" && address ? resolve(address.port) : reject(new Error("no port")),
      )
    })
  })
}
