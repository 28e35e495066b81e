/** Does systemd hear what a service tells it, and journald how grave it is? The listener is perl's, since Node has no Unix datagrams. */
import { type ChildProcess, spawn } from "node:child_process"
import { fstatSync, mkdtempSync, openSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { isJournal, marked } from "../local/journal.ts"
import { keepTelling, nobody, supervisorOf } from "../local/supervisor.ts"

const folder = mkdtempSync(join(tmpdir(), "assay-notify-"))
const socket = join(folder, "notify")
const heard: string[] = []
let listener: ChildProcess

const script = `use IO::Socket::UNIX; $| = 1;
  my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die;
  print "listening\\0"; while (defined $s->recv(my $m, 4096)) { print "$m\\0" }`

beforeAll(async () => {
  listener = spawn("perl", ["-e", script, socket], { stdio: ["ignore", "pipe", "inherit"] })
  let rest = ""
  listener.stdout?.on("data", chunk => {
    const parts = (rest + String(chunk)).split("\0")
    rest = parts.pop() ?? ""
    heard.push(...parts.map(each => each.trim()).filter(each => each !== "" && each !== "BARRIER=1")) // it waits by these
  })
  await until(() => heard.includes("listening"))
})
afterAll(() => {
  listener.kill()
  rmSync(folder, { recursive: true, force: true })
})

async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !holds(); await delay(10))
    if (Date.now() > end) throw new Error(`heard ${JSON.stringify(heard)}`)
}

describe("a supervisor", () => {
  it("hears messages in their order, each whole", async () => {
    const { tell } = supervisorOf({ NOTIFY_SOCKET: socket })
    for (let i = 0; i < 3; i++) tell(`STATUS=${i}`, "READY=1")
    await until(() => heard.some(each => each.includes("STATUS=2")))
    const said = heard.filter(each => each.includes("READY=1"))
    expect(said.map(each => /STATUS=\d/.exec(each)?.[0])).toEqual(["STATUS=0", "STATUS=1", "STATUS=2"])
  })

  it("that could not hear is told again", async () => {
    const late = join(folder, "late")
    supervisorOf({ NOTIFY_SOCKET: late }).tell("STATUS=told again")
    await delay(100)
    symlinkSync(socket, late)
    await until(() => heard.includes("STATUS=told again"))
  })

  it("hears of progress while there is some", async () => {
    const supervisor = supervisorOf({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: "60000", WATCHDOG_PID: "7" }, 7)
    const before = heard.length
    let asked = 0
    const stop = keepTelling(supervisor, () => ++asked <= 2)
    await until(() => asked > 4)
    stop()
    supervisor.tell("STOPPING=1")
    await until(() => heard.includes("STOPPING=1"))
    expect(heard.slice(before)).toEqual(["WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"])
  })

  it.each([
    [{ WATCHDOG_USEC: "2000000" }, 2000],
    [{ WATCHDOG_USEC: "2000000", WATCHDOG_PID: "8" }, "endless"],
    [{ WATCHDOG_USEC: "soon" }, "endless"],
    [{}, "endless"],
  ])("with %o is patient for %s", (environment, patience) => {
    expect(supervisorOf({ NOTIFY_SOCKET: socket, ...environment }, 7).patience).toBe(patience)
  })

  it("is nobody where none is named", () => expect(supervisorOf({})).toBe(nobody))
})

describe("a line for journald", () => {
  it("says its level, each line, and for a terminal nothing", () => {
    expect(marked("error", "a\nb\n", true)).toBe("<3>a\n<3>b\n")
    expect(marked("warning", "a\n", false)).toBe("a\n")
  })

  it("goes to the stream that is named, and to no other", () => {
    const descriptor = openSync(join(folder, "stream"), "w")
    const { dev, ino } = fstatSync(descriptor, { bigint: true })
    expect(isJournal(`${dev}:${ino}`, descriptor)).toBe(true)
    expect(isJournal(`${dev}:${ino + 1n}`, descriptor)).toBe(false)
    expect(isJournal(undefined, descriptor)).toBe(false)
    expect(isJournal("8:1", 1000)).toBe(false)
  })
})
