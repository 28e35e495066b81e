/** Who keeps a broker running? An agent that spawned it, and a supervisor that holds its socket. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { brokerAt, spawnBroker, spawnDefaults, type SpawnedBroker } from "../agent/broker/spawn.ts"
import { entryPoint } from "../local/entry.ts"
import { measurement, until } from "./broker-process.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

let tpm: Swtpm
let spawned: SpawnedBroker | undefined
/** started by a program that has ended: nobody else would end it */
let orphan = 0

beforeEach(async () => {
  tpm = await startSwtpm()
})

afterEach(async () => {
  await spawned?.close()
  spawned = undefined
  if (orphan > 0 && isAlive(orphan)) process.kill(orphan, "SIGKILL")
  orphan = 0
  await tpm.stop()
})

const options = () => ({
  ...spawnDefaults,
  socket: join(tpm.directory, "b.sock"),
  state: join(tpm.directory, "state"),
  tcti: tpm.tcti,
  softwareTpm: true,
  pause: 10,
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

it("starts one, starts the next when it is killed, and ends it with itself", async () => {
  spawned = spawnBroker(options())
  const { ak } = await spawned.call("identity", {})
  const first = spawned.pid()
  process.kill(first, "SIGKILL")
  await until(() => ![0, first].includes(spawned?.pid() ?? 0))
  expect((await spawned.call("identity", {})).ak).toBe(ak)
  expect((await spawned.call("append", { event: measurement("on") })).log.records).toBe(2)
  const second = spawned.pid()
  await spawned.close()
  expect(isAlive(second)).toBe(false)
  expect(existsSync(options().socket)).toBe(false)
})

it("gives up a call when no broker comes", async () => {
  const nobody = brokerAt({ socket: join(tpm.directory, "none.sock"), callDeadline: 1000, patience: 50 })
  await expect(nobody.call("identity", {})).rejects.toMatchObject({ hint: expect.stringContaining("start") })
})

it("ends its broker also when it is killed itself", async () => {
  const script = `import { spawnBroker } from ${JSON.stringify(join(import.meta.dirname, "../agent/broker/spawn.ts"))}
const broker = spawnBroker(${JSON.stringify(options())})
await broker.call("identity", {})
console.log(broker.pid())
setInterval(() => {}, 1000)`
  const agent = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "ignore"] })
  const pid = await new Promise<number>(resolve => agent.stdout.once("data", text => resolve(Number(text))))
  expect(isAlive(pid)).toBe(true)
  agent.kill("SIGKILL")
  await until(() => !isAlive(pid))
  expect(existsSync(options().socket)).toBe(false)
})

it("serves a socket that a supervisor opened, and leaves it in place", async () => {
  const path = join(tpm.directory, "activated.sock")
  const where = ["--state", join(tpm.directory, "state"), "--tcti", tpm.tcti, "--software-tpm"]
  const args = ["-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh", process.execPath, entryPoint("broker"), ...where]
  const script = `import { spawn } from "node:child_process"
import { createServer } from "node:net"
const server = createServer().listen(${JSON.stringify(path)}, () => {
  const stdio = ["ignore", "ignore", "ignore", server._handle.fd]
  process.stdout.write(String(spawn("sh", ${JSON.stringify(args)}, { stdio, detached: true }).pid), () =>
    process.kill(process.pid, "SIGKILL"))
})`
  orphan = Number(await outputOf(spawn(process.execPath, ["--input-type=module", "-e", script])))
  const { call } = brokerAt({ socket: path, callDeadline: 10_000, patience: 5000 })
  expect((await call("identity", {})).custody).toBe("TPM-sealed")
  process.kill(orphan, "SIGTERM")
  await until(() => !isAlive(orphan))
  expect(existsSync(path)).toBe(true)
})

function outputOf(child: ChildProcess): Promise<string> {
  let text = ""
  child.stdout?.on("data", piece => (text += String(piece)))
  return new Promise(resolve => child.once("close", () => resolve(text)))
}

it("says how it is used", async () => {
  for (const args of [[], ["--state", "x"], ["--state", "x", "--socket", "y", "--pcr", "24"], ["--reset"]]) {
    const broker = spawn(process.execPath, [entryPoint("broker"), ...args], { stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    broker.stderr.on("data", text => (said += String(text)))
    expect(await new Promise(resolve => broker.once("close", resolve))).toBe(64)
    expect(said).toMatch(/^assay: broker: .*\nassay: hint: broker --socket PATH/)
  }
})
