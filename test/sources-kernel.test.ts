/** What is told of a kernel: why it is tainted, which modules are in it and which files they came from. */
import { createHash } from "node:crypto"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, property, uint8Array } from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { buildId } from "../agent/sources/kernel/build-id.ts"
import { taintReasons } from "../agent/sources/kernel/taint.ts"
import { contextOf, measured, on, subject, valuesOf } from "./hosts.ts"

const hasher = new Hasher()
const scratch = mkdtempSync(join(tmpdir(), "assay-kernel-"))
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

describe("taint", () => {
  it("is told in words", () => {
    expect(taintReasons("0")).toEqual([])
    expect(taintReasons("12289")).toEqual([
      "proprietary module loaded",
      "externally built module loaded",
      "unsigned module loaded",
    ])
    expect(taintReasons(String(1n << 31n))).toEqual(["bit 31"])
    for (const bad of ["", "-1", "0x1", "1 ", "9".repeat(19)]) expect(taintReasons(bad)).toBe("unknown")
  })

  it("of a machine is a fact for each reason", async () => {
    const running = subject(await measured("kernel", contextOf(hasher, on("workstation-nvidia-other"))), "running")
    expect(valuesOf(running, "taint")).toContain("kernel warning")
  })
})

describe("modules", () => {
  const moduleOf = async (root: string): Promise<string> =>
    valuesOf(subject(await measured("kernel", contextOf(hasher, root)), "modules"), "module/nvidia")[0] ?? ""

  it("are told with the digest of the file that is stored, and another one when it is exchanged", async () => {
    const root = join(scratch, "exchanged")
    cpSync(on("rtx-4090"), root, { recursive: true, verbatimSymlinks: true })
    const file = join(root, "usr/lib/modules/6.8.0-60-generic/updates/dkms/nvidia.ko.zst")
    const digest = createHash("sha256").update(readFileSync(file)).digest("hex")
    const path = "/lib/modules/6.8.0-60-generic/updates/dkms/nvidia.ko.zst"
    expect(await moduleOf(root)).toContain(`file:sha256:${digest} ${path}`)
    writeFileSync(file, "another module")
    expect(await moduleOf(root)).not.toContain(digest)
    rmSync(file)
    expect(await moduleOf(root)).toMatch(/ file:absent$/)
  })

  it("stay readable where the release or modules.dep is hostile", async () => {
    const root = join(scratch, "hostile")
    cpSync(on("rtx-4090"), root, { recursive: true, verbatimSymlinks: true })
    const dep = join(root, "usr/lib/modules/6.8.0-60-generic/modules.dep")
    for (const text of [
      "../../../../etc/shadow/nvidia.ko:\n",
      ":\n::\nnvidia.ko",
      `${"x".repeat(9000)}/nvidia.ko:\n`,
      "\0:",
    ]) {
      writeFileSync(dep, text)
      expect(await moduleOf(root)).toContain("version:550.120")
    }
    writeFileSync(join(root, "proc/sys/kernel/osrelease"), "../../../tmp\n")
    expect(await moduleOf(root)).not.toContain("file:")
  })

  it("have a build id in notes, or none, whatever the notes hold", () => {
    assert(
      property(uint8Array({ maxLength: 64 }), value => {
        expect(["present", "absent", "unreadable"]).toContain(buildId({ state: "present", value }).state)
      }),
    )
  })
})
