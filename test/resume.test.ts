/**
 * Does the agent notice that its machine slept? On a bus of dbus-daemon's own, told by whoever owns logind's name and by nobody else,
 * with a software TPM that is suspended meanwhile; and by the clock alone.
 */
import { createServer, type Socket } from "node:net"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { expect, onTestFinished, test } from "vitest"
import { readConfiguration } from "../agent/config.ts"
import { runAgent } from "../agent/main.ts"
import { listen } from "../agent/resume/bus.ts"
import { lookerAt, prepareForSleep, watchResume } from "../agent/resume/resume.ts"
import { agentSocket, agentVerbs } from "../agent/verbs.ts"
import { openCaller } from "../local/call.ts"
import { nobody } from "../local/supervisor.ts"
import { cycle } from "./broker-process.ts"
import { logindOn, sendAsAnybody, startBus } from "./bus.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"
import { startSwtpm } from "./swtpm.ts"

/** What is heard on `address`, until the test ends. */
function hearingOn(address: string): boolean[] {
  const heard: boolean[] = []
  const over = new AbortController()
  const listening = listen(address, prepareForSleep, value => void heard.push(value), over.signal)
  onTestFinished(async () => {
    over.abort()
    await listening
  })
  return heard
}

test("logind's signal is heard, before and after a suspend; the same from anybody else is not", async () => {
  const bus = await startBus()
  onTestFinished(() => bus.stop())
  const logind = await logindOn(bus.address)
  const heard = hearingOn(bus.address)
  while (heard.length === 0) {
    logind.say(true)
    await delay(20)
  }
  heard.length = 0
  await sendAsAnybody(bus.address, false)
  logind.say(false)
  while (!heard.includes(false)) await delay(5)
  await sendAsAnybody(bus.address, false)
  logind.say(true)
  while (heard.at(-1) !== true) await delay(5)
  expect(heard.filter(value => !value)).toEqual([false])
  logind.leave()
})

test("a resume opens a log of its own, and everything is measured into it, although nobody asks", async () => {
  const [folder, tpm, bus] = [temporaryFolder(), await startSwtpm(), await startBus()]
  const over = new AbortController()
  const places = { STATE_DIRECTORY: join(folder, "agent"), RUNTIME_DIRECTORY: join(folder, "run") }
  const text = `[tpm]\ntcti = "${tpm.tcti}"\nsoftware = true\n[resume]\nbus = "${bus.address}"\n`
  const configuration = readConfiguration(text, places)
  const clock = { now: () => Date.now(), random: () => 0, signal: over.signal }
  const running = runAgent(configuration, { ...clock, supervisor: nobody, invitation: "none" })
  onTestFinished(async () => {
    over.abort()
    await running
    bus.stop()
    await tpm.stop()
    removeFolder(folder)
  })
  const logOf = async () => {
    const caller = await openCaller(join(configuration.runtime, agentSocket), agentVerbs, 30_000).catch(() => undefined)
    const log = await caller?.call("status", {}).then(
      status => status.log,
      () => undefined,
    )
    caller?.close()
    return log
  }
  let before = await logOf()
  while (!before || before.records < 5) {
    await delay(50)
    before = await logOf()
  }
  const logind = await logindOn(bus.address)
  await cycle(tpm, "suspend")
  let after = await logOf()
  while (!after || after.restartCount === before.restartCount || after.records < before.records) {
    logind.say(false)
    await delay(200)
    after = await logOf()
  }
  expect(after).toMatchObject({ resetCount: before.resetCount, restartCount: before.restartCount + 1 })
  logind.leave()
}, 240_000)

test("a clock that went on while the machine stood still tells of a resume, once; and one that is set back does not", () => {
  const told: number[] = []
  let [clock, running] = [1_000_000, 0]
  const look = lookerAt({ now: () => clock, resumed: () => told.push(clock) }, () => running)
  const pass = (ahead: number, on: number): number => {
    clock += ahead
    running += on
    look()
    return told.length
  }
  expect([pass(5000, 5000), pass(5000, 5000), pass(605_000, 5000), pass(5000, 5000)]).toEqual([0, 0, 1, 1])
  expect([pass(-3_600_000, 5000), pass(5000, 5000), pass(25_000, 5000)]).toEqual([1, 1, 2])
})

test("a bus that is none is told of once, and left; what is sent is bounded", async () => {
  const hostile: Record<string, (socket: Socket) => unknown> = {
    "lets nobody in": socket => socket.write("REJECTED EXTERNAL\r\n"),
    "says no line": socket => socket.write("x".repeat(5000)),
    "sends a message without end": socket =>
      socket.write(Buffer.concat([ok, Buffer.from([0x6c, 4, 0, 1, 255, 255, 255, 127]), Buffer.alloc(20)])),
    "sends what is no message": socket => socket.write(Buffer.concat([ok, Buffer.alloc(64, 7)])),
    "sends a field beyond its header": socket =>
      socket.write(
        Buffer.concat([
          ok,
          Buffer.from([0x6c, 4, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 3, 1, 0x73, 0, 99, 0, 0, 0]),
        ]),
      ),
    ends: socket => socket.end(),
  }
  const folder = temporaryFolder()
  onTestFinished(() => removeFolder(folder))
  for (const [what, act] of Object.entries(hostile)) {
    const path = join(folder, "s")
    const server = createServer(socket => {
      socket.on("error", () => {}).resume()
      act(socket)
    })
    await new Promise<void>(resolve => server.listen(path, resolve))
    await expect(
      listen(path, prepareForSleep, () => {}, new AbortController().signal),
      what,
    ).rejects.toThrow()
    await new Promise(resolve => server.close(resolve))
  }
  const said: string[] = []
  const over = new AbortController()
  const parts = {
    bus: join(folder, "none"),
    now: Date.now,
    say: (line: string) => void said.push(line),
    resumed: () => {},
  }
  const watching = watchResume(parts, over.signal)
  while (said.length === 0) await delay(5)
  over.abort()
  await watching
  expect(said).toEqual([expect.stringContaining("cannot hear of suspends on")])
})

const ok = Buffer.from("OK 0123456789abcdef0123456789abcdef\r\n")
