/**
 * Does the reader show an agent without rights what root alone may see, and nothing else? Real processes under users of their
 * own: a server whose files are its own, a reader with its two capabilities, an agent with none, and a stranger.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { symlinkSync, writeFileSync } from "node:fs"
import { createConnection, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { Host } from "../agent/host.ts"
import { readerAt } from "../agent/reader/ask.ts"
import { verbs } from "../agent/reader/verbs.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { frame } from "../attestation/wire/frame.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { openCaller } from "../local/call.ts"
import { entryPoint } from "../local/entry.ts"
import { contextOf, measured, subject, valuesOf } from "./hosts.ts"

/** Users and groups of these numbers need not exist. */
const users = { server: 61_001, reader: 61_002, agent: 61_003, stranger: 61_004 } as const
const scratch = mkdtempSync(join(tmpdir(), "assay-reader-"))
const theirs = join(scratch, "server")
const program = join(theirs, "llama-server")
const [library, weights, model] = ["library.gguf", "weights.gguf", "model"].map(each => join(theirs, each)) as [
  string,
  string,
  string,
]
const socket = join(scratch, "reader", "s")
const log = "userspace log"
const running: ChildProcess[] = []

/** What each user may read is theirs alone; the folders in between may be passed. */
function lay(): void {
  chmodSync(scratch, 0o755)
  mkdirSync(theirs, { mode: 0o700 })
  mkdirSync(model, { mode: 0o700 })
  copyFileSync("/usr/bin/tail", program)
  copyFileSync(libraryOf("/usr/bin/tail"), library)
  writeFileSync(weights, "weights")
  writeFileSync(join(model, "a.safetensors"), "a model's file", { mode: 0o600 })
  symlinkSync("/etc/shadow", join(model, "link.safetensors"))
  execFileSync("mkfifo", [join(model, "pipe.safetensors")])
  for (const each of [program, library, weights]) chmodSync(each, 0o700)
  for (const each of [theirs, program, library, weights, model, join(model, "a.safetensors")])
    chownSync(each, users.server, users.server)
  mkdirSync(join(scratch, "reader"), { mode: 0o755 })
  chownSync(join(scratch, "reader"), users.reader, users.agent)
  writeFileSync(join(scratch, "agent.toml"), `[[weights]]\npath = "${model}"\n`)
}

const libraryOf = (file: string): string =>
  /(\/\S*libc\.so\.6)/.exec(execFileSync("ldd", [file], { encoding: "utf8" }))?.[1] ?? ""

const as = (user: number, group: number, capabilities: string, ...command: readonly string[]): string[] => {
  const wanted = capabilities === "" ? "-all" : `-all,${capabilities}`
  const rights = ["--bounding-set", wanted, "--inh-caps", wanted, "--ambient-caps", wanted, "--no-new-privs"]
  return ["--reuid", String(user), "--regid", String(group), "--clear-groups", ...rights, ...command]
}

function start(command: string, given: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(command, given, { stdio: ["pipe", "pipe", "inherit"], env, cwd: "/" })
  running.push(child)
  return child
}

/** In a namespace of mounts of its own, as its unit has one, in which systemd's log lies. */
async function startReader(): Promise<void> {
  const reader = [process.execPath, entryPoint("reader"), "--socket", socket, "--mode", "660", "--attached"]
  const command = as(
    users.reader,
    users.agent,
    "+sys_ptrace,+dac_read_search",
    ...[...reader, "--config", join(scratch, "agent.toml")],
  )
  const script = `mkdir -p /run/log && mount -t tmpfs none /run/log && mkdir /run/log/systemd &&
    printf '%s' "${log}" > /run/log/systemd/tpm2-measure.log && chmod 0600 /run/log/systemd/tpm2-measure.log && exec setpriv "$@"`
  start("unshare", ["--mount", "sh", "-c", script, "sh", ...command], { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" })
  for (;;) {
    try {
      return (await openCaller(socket, verbs, 1000)).close()
    } catch {
      await delay(20)
    }
  }
}

/** Only root can start processes under users of its choosing. */
const isRoot = process.getuid?.() === 0
let server: ChildProcess
beforeAll(async () => {
  if (!isRoot) return
  lay()
  await startReader()
  const environment = { CUDA_VISIBLE_DEVICES: "0", HF_TOKEN: "hf_secret", HOME: "/secret", LD_PRELOAD: library }
  server = start("setpriv", as(users.server, users.server, "", program, "-f", weights), environment)
  await new Promise(resolve => server.stdout?.once("data", resolve))
})
afterAll(async () => {
  for (const child of running.toReversed()) {
    const ended = new Promise(resolve => child.once("exit", resolve))
    child.kill("SIGKILL")
    if (child.exitCode === null && child.signalCode === null) await ended
  }
  rmSync(scratch, { recursive: true, force: true })
})

/** What the source `loaded` says to an agent of this user; its threads run before it gives up its rights. */
function loadedFor(user: number, reader: string): readonly Measurement[] {
  const at = (path: string): string => JSON.stringify(join(import.meta.dirname, path))
  const script = `
    import { Hasher } from ${at("../agent/hash/hasher.ts")}
    import { thisMachine } from ${at("../agent/reader/ask.ts")}
    import { contextOf, measured } from ${at("hosts.ts")}
    const hasher = new Hasher()
    await hasher.file({ path: Buffer.from("/proc/self/exe") }, "full", new AbortController().signal, () => undefined)
    process.setgroups([]); process.setgid(${user}); process.setuid(${user})
    const host = thisMachine({ reader: ${JSON.stringify(reader)} })
    console.log(JSON.stringify(await measured("loaded", contextOf(hasher, "/", { host, weights: [] }))))
    await hasher.close()`
  const file = join(scratch, "agent.mjs")
  writeFileSync(file, script)
  return JSON.parse(execFileSync(process.execPath, [file], { encoding: "utf8" })) as Measurement[]
}

const nameOfServer = `llama-server ${program}`
const digestOf = (path: string): string => `sha256:${createHash("sha256").update(readFileSync(path)).digest("hex")}`

describe.runIf(isRoot)("an agent without rights", () => {
  it("sees through the reader what root sees", async () => {
    const hasher = new Hasher()
    const context = contextOf(hasher, "/", { host: new Host("/"), weights: [] })
    const root = subject(await measured("loaded", context), nameOfServer)
    await hasher.close()
    const seen = subject(loadedFor(users.agent, socket), nameOfServer)
    expect(seen).toEqual(root)
    expect(valuesOf(seen, `mapped${program}`)).toEqual([digestOf(program)])
    expect(valuesOf(seen, `mapped${library}`)).toEqual([digestOf(library)])
    expect(valuesOf(seen, `weights${weights}`)).toEqual(["open, measured by nobody"])
    expect(valuesOf(seen, "environment/CUDA_VISIBLE_DEVICES")).toEqual(["0"])
    expect(valuesOf(seen, "environment/HF_TOKEN")).toEqual([`sha256:${sha256("hf_secret")}`])
    expect(JSON.stringify(seen)).not.toContain("secret")
  })

  it("is told what helps where no reader answers, and never that there is nothing", () => {
    const [found] = loadedFor(users.agent, join(scratch, "none")).filter(
      each => each.subject === "process llama-server",
    )
    expect(found).toMatchObject({
      state: "unreadable",
      facts: [["unreadable", expect.stringContaining("assay-reader")]],
    })
  })

  it("of another user is not let in", () => {
    const [found] = loadedFor(users.stranger, socket).filter(each => each.subject === "process llama-server")
    expect(found).toMatchObject({ state: "unreadable" })
  })
})

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex")

it("that is there and keeps silent is no fact: nothing is measured, and the fix is named", async () => {
  const path = join(scratch, "silent")
  const silent = createServer(() => undefined).listen(path)
  try {
    const asked = readerAt(path, 50)
    const question = () => asked.bytes("/run/log/systemd/tpm2-measure.log", 0, 10)
    for (const each of [question(), question()])
      await expect(each).rejects.toMatchObject({ message: /does not answer/, hint: /systemctl status assay-reader/ })
  } finally {
    silent.close()
  }
})

describe.runIf(isRoot)("the reader", () => {
  const ask = async (verb: keyof typeof verbs, given: object): Promise<unknown> => {
    const caller = await openCaller(socket, verbs, 5000)
    try {
      return await caller.call(verb, given as never)
    } finally {
      caller.close()
    }
  }
  const bytes = (content: object, offset = 0, length = 4096): Promise<unknown> =>
    ask("bytes", { content, offset, length })
  const present = (text: string) => ({ state: "present", value: { bytes: Buffer.from(text).toString("base64") } })
  const pid = (): number => server.pid ?? 0

  it("shows the named logs, part by part, and tells those that are not there apart", async () => {
    const content = { of: "named", name: "userspace-log" }
    expect(await bytes(content)).toMatchObject(present(log))
    expect(await bytes(content, 5, 3)).toMatchObject(present(log.slice(5, 8)))
    expect(await bytes(content, 999)).toMatchObject(present(""))
    expect(await bytes({ of: "named", name: "ima-log-sha256" })).toEqual({ state: "absent" })
    const whole = await readerAt(socket).bytes("/run/log/systemd/tpm2-measure.log", 0, 1 << 20)
    expect(whole).toEqual({ state: "present", value: new Uint8Array(Buffer.from(log)) })
  })

  it("shows the files of a configured model, and nothing that a link there leads to", async () => {
    const inModel = (name: string): object => ({ of: "weights", path: join(model, name) })
    expect(await bytes(inModel("a.safetensors"))).toMatchObject(present("a model's file"))
    const refused = { state: "unreadable" }
    expect(await bytes(inModel("link.safetensors"))).toMatchObject(refused)
    expect(await bytes(inModel("pipe.safetensors"))).toMatchObject(refused)
    for (const path of ["/etc/shadow", join(model, "../weights.gguf"), `${model}/a.safetensors/`, "etc/shadow", theirs])
      expect((await bytes({ of: "weights", path })) as object, path).not.toMatchObject({ state: "present" })
  })

  it("answers for processes that serve models alone", async () => {
    const stranger = { state: "unreadable", problem: "not a process that serves models" }
    for (const verb of ["mapped", "opened", "environment"] as const)
      expect(await ask(verb, { process: process.pid }), verb).toEqual(stranger)
    expect(await ask("link", { process: process.pid, link: "cwd" })).toEqual(stranger)
    expect(await bytes({ of: "executable", process: process.pid })).toEqual(stranger)
    expect(await ask("mapped", { process: 2 ** 31 - 1 })).toEqual({ state: "absent" })
    expect(await ask("link", { process: pid(), link: "exe" })).toEqual({ state: "present", value: program })
  })

  it("gives no file that a server has not mapped, and no other one that came to lie at its path", async () => {
    const mapped = (path: string): Promise<unknown> => bytes({ of: "mapped", process: pid(), path })
    expect(await mapped(library)).toMatchObject({ state: "present" })
    for (const path of ["/etc/shadow", weights, `${theirs}/../server/library.gguf`])
      expect(await mapped(path), path).toEqual({ state: "absent" })
    renameSync(library, `${library}.old`)
    symlinkSync("/etc/shadow", library)
    try {
      expect(await mapped(library)).toEqual({ state: "absent" })
      expect(await mapped(`${library}.old`)).toMatchObject({ state: "present" })
    } finally {
      renameSync(`${library}.old`, library)
    }
  })

  it("gives no file that the server itself may not read, which a mount put in the place of one with the same inode number", async () => {
    const [a, b] = [join(scratch, "a"), join(scratch, "b")]
    for (const each of [a, b]) mkdirSync(each)
    const decoy = join(b, "decoy.gguf")
    const script = `mount -t tmpfs none ${a} && mount -t tmpfs none ${b} && cp ${library} ${decoy} && chmod 0644 ${decoy} &&
      echo secret > ${a}/secret && chmod 0600 ${a}/secret && setpriv "$@" & sleep 1
      stat -c %i ${decoy} ${a}/secret; mount --bind ${a}/secret ${decoy}; echo ready; wait`
    const command = ["--pdeathsig", "KILL", ...as(users.server, users.server, "", program, "-f", "/dev/null")]
    const child = start("unshare", ["--mount", "sh", "-c", script, "sh", ...command], {
      ...{ PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      LD_PRELOAD: decoy,
    })
    const said: string = await new Promise(resolve => {
      let text = ""
      child.stdout?.on("data", chunk => (text += String(chunk)).includes("ready") && resolve(text))
    })
    expect(said).toMatch(/^(\d+)\n\1\nready/)
    const found = execFileSync("pgrep", ["-u", String(users.server), "-f", "/dev/null"], { encoding: "utf8" })
    const ofDecoy = { of: "mapped", process: Number(found.trim()), path: decoy }
    const other = "another file than the one that was meant"
    expect(await bytes(ofDecoy)).toEqual({ state: "unreadable", problem: other })
    execFileSync("nsenter", ["--target", found.trim(), "--mount", "chmod", "0644", join(a, "secret")])
    expect(await bytes(ofDecoy)).toMatchObject(present("secret\n"))
  })

  it("refuses what is no question", async () => {
    await expect(ask("boot", { name: "vmlinuz-../../etc/shadow" })).rejects.toThrow("boot: ")
    await expect(ask("boot", { name: "../etc/shadow" })).rejects.toThrow("boot: ")
    await expect(ask("image", { container: "../".repeat(21) })).rejects.toThrow("image: ")
    await expect(bytes({ of: "named", name: "/etc/shadow" })).rejects.toThrow("bytes: ")
    await expect(bytes({ of: "named", name: "smbios" }, 0, (1 << 20) + 1)).rejects.toThrow("bytes: ")
    await expect(ask("mapped", { process: -1 })).rejects.toThrow("mapped: ")
    await expect(ask("link", { process: 1, link: "root" })).rejects.toThrow("link: ")
    const caller = await openCaller(socket, { ...verbs, read: verbs.bytes }, 5000)
    await expect(
      caller.call("read", { content: { of: "named", name: "smbios" }, offset: 0, length: 1 }),
    ).rejects.toThrow("there is no verb")
    caller.close()
  })

  it("drops a caller that sends no frames, and goes on", async () => {
    for (const junk of [Buffer.alloc(64, 0xff), frame(Buffer.from("not JSON"))]) {
      const caller = createConnection(socket)
      caller.on("error", () => undefined)
      caller.end(junk)
      await new Promise(resolve => caller.resume().once("close", resolve))
    }
    expect(await ask("link", { process: pid(), link: "exe" })).toMatchObject({ state: "present" })
  })

  it("shows the executable that runs, also where another lies at its path", async () => {
    writeFileSync(`${program}.new`, "another")
    renameSync(`${program}.new`, program)
    const found = (await bytes({ of: "executable", process: pid() }, 0, 1 << 20)) as { value: { bytes: string } }
    expect(sha256(fromBase64(found.value.bytes))).toBe(sha256(readFileSync("/usr/bin/tail")))
    expect(await ask("link", { process: pid(), link: "exe" })).toEqual({
      state: "present",
      value: `${program} (deleted)`,
    })
  })
})
