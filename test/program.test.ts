/** Does a program run alone, bounded and in an environment of ours, and does it end with everything that it started? */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import { Host } from "../agent/host.ts"
import { patience, runProgram } from "../agent/program.ts"

const scratch = mkdtempSync(join(tmpdir(), "assay-program-"))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function script(name: string, body: string, mode = 0o755): string {
  const path = join(scratch, name)
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, mode)
  return path
}

const text = async (path: string, given: readonly string[] = [], more = {}): Promise<string> => {
  const found = await runProgram(path, given, { ...patience, ...more })
  if (found.state === "present") return Buffer.from(found.value).toString()
  return found.state === "absent" ? "absent" : found.problem
}

it("hands each argument over as it is, with no shell between", async () => {
  expect(await text("/bin/echo", ["$HOME", "a b", ";", "*", "`id`"])).toBe("$HOME a b ; * `id`\n")
})

it("gives the program an environment of ours and no input", async () => {
  process.env["ASSAY_TEST_SECRET"] = "told to nobody"
  expect((await text("/usr/bin/env")).trim().split("\n").toSorted()).toEqual([
    "HOME=/nonexistent",
    "LC_ALL=C",
    "PATH=/usr/bin:/bin",
  ])
  delete process.env["ASSAY_TEST_SECRET"]
  expect(await text("/bin/cat")).toBe("")
  expect(await text("/bin/pwd")).toBe("/\n")
})

it("tells a failure in the program's first words", async () => {
  expect(await text(script("fails", "echo; echo '  no driver  '; echo more; exit 9"))).toBe("ended with 9: no driver")
  expect(await text(script("complains", "echo said; echo why >&2; exit 1"))).toBe("ended with 1: why")
  expect(await text(script("silent", "exit 3"))).toBe("ended with 3: without a word")
  expect(await text(script("killed", "kill -9 $$"))).toBe("ended with SIGKILL: without a word")
})

it("ends what is too slow, and what that started", async () => {
  const pid = join(scratch, "pid")
  const slow = script("slow", `/bin/sleep 100 & echo $! > ${pid}; wait`)
  expect(await text(slow, [], { deadline: 1000 })).toBe("took longer than 1000 ms")
  const child = readFileSync(pid, "utf8").trim()
  while (existsSync(`/proc/${child}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${child}/status`, "utf8")))
    await new Promise(resolve => setTimeout(resolve, 10))
})

it("does not wait for what holds the output open after the program", async () => {
  const left = script("leaves", "/bin/sleep 100 & exit 0")
  expect(await text(left, [], { deadline: 1000 })).toBe("took longer than 1000 ms")
})

it("ends what says too much, on either output", async () => {
  expect(await text("/usr/bin/yes", [], { limit: 1000 })).toBe("said more than 1000 bytes")
  expect(await text(script("loud", "exec /usr/bin/yes >&2"), [], { limit: 1000 })).toBe("said more than 1000 bytes")
})

it("runs only programs that nobody but root or we ourselves may write", async () => {
  expect(await text(join(scratch, "nothing"))).toBe("absent")
  expect(await text(scratch)).toBe("not a program")
  expect(await text(script("plain", "echo hello", 0o644))).toBe("not a program")
  const refusal = "a program that others than root may write is not run"
  expect(await text(script("group", "echo hello", 0o775))).toBe(refusal)
  expect(await text(script("world", "echo hello", 0o757))).toBe(refusal)
  const damaged = join(scratch, "damaged")
  writeFileSync(damaged, Buffer.from("7f454c46", "hex"))
  chmodSync(damaged, 0o755)
  expect(await text(damaged)).toMatch(/^ENOEXEC|^ended with/)
})

it("never runs a program of a captured tree unless that is asked for", async () => {
  const root = join(scratch, "tree")
  mkdirSync(join(root, "usr/bin"), { recursive: true })
  writeFileSync(join(root, "usr/bin/tool"), '#!/bin/sh\necho "said $1"\n', { mode: 0o755 })
  expect(await new Host(root).says("/usr/bin/tool", ["x"])).toEqual({
    state: "unreadable",
    problem: "no program of this tree is run",
  })
  const said = await new Host(root, "run").says("/usr/bin/tool", ["x"])
  expect(said.state === "present" && Buffer.from(said.value).toString()).toBe("said x\n")
  expect(await new Host(root, "run").says("/usr/bin/none", [])).toEqual({ state: "absent" })
})
