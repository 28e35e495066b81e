/** Does the doctor see an installation that is not whole, and units that do not run, and say the fix? */
import { execFileSync } from "node:child_process"
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeEach, describe, expect, it } from "vitest"
import { checkUnit, installationOf, packageOf, readUnits } from "../cli/installation.ts"

const root = mkdtempSync(join(tmpdir(), "assay-installed-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const place = (path: string, content: string): void => {
  mkdirSync(join(root, path, ".."), { recursive: true })
  writeFileSync(join(root, path), content)
}

/** As the package brings them: two files, and their list by sha256sum. */
beforeEach(() => {
  rmSync(root, { recursive: true, force: true })
  place("usr/lib/assay/code/a.js", "a")
  place("usr/share/doc/assay/copyright", "c")
  const files = ["usr/lib/assay/code/a.js", "usr/share/doc/assay/copyright"]
  const list = execFileSync("sha256sum", files, { cwd: root, encoding: "utf8" })
  place("usr/share/assay/files.sha256", list.replaceAll("  ", "  /"))
})

describe("the package's files", () => {
  it("are as they were built", async () => expect((await packageOf(root)).verdict).toBe("ok"))

  it("are named when one was altered, or is gone", async () => {
    appendFileSync(join(root, "usr/lib/assay/code/a.js"), "b")
    expect(await packageOf(root)).toMatchObject({ verdict: "problem", says: /a\.js \(1 files\)/ })
    rmSync(join(root, "usr/lib/assay/code/a.js"))
    expect((await packageOf(root)).says).toContain("/usr/lib/assay/code/a.js")
  })

  it("may lack their documents, which dpkg can be told to leave out", async () => {
    rmSync(join(root, "usr/share/doc/assay/copyright"))
    expect((await packageOf(root)).verdict).toBe("ok")
  })

  it("are a problem without their list", async () => {
    rmSync(join(root, "usr/share/assay/files.sha256"))
    expect((await packageOf(root)).verdict).toBe("problem")
  })
})

describe("units", () => {
  const told = (id: string, active: string, condition = "yes", load = "loaded"): string =>
    `Id=${id}\nLoadState=${load}\nActiveState=${active}\nConditionResult=${condition}\n`
  const verdictOf = (...given: Parameters<typeof told>): string[] =>
    readUnits(told(...given))
      .flatMap(checkUnit)
      .map(({ verdict }) => verdict)

  it.each([
    ["assay-agent.service", "active", "yes", "loaded", ["ok"]],
    ["assay-agent.service", "activating", "yes", "loaded", ["note"]],
    ["assay-agent.service", "reloading", "yes", "loaded", ["note"]],
    ["assay-agent.service", "failed", "yes", "loaded", ["problem"]],
    ["assay-agent.service", "inactive", "no", "loaded", ["missing"]],
    ["assay-agent.service", "inactive", "yes", "loaded", ["problem"]],
    ["assay-broker.socket", "inactive", "no", "not-found", ["missing"]],
    ["assay-collector.service", "inactive", "no", "loaded", []],
    ["assay-collector.service", "failed", "yes", "loaded", ["problem"]],
  ])("%s, %s, condition %s, %s", (id, active, condition, load, verdicts) => {
    expect(verdictOf(id, active, condition, load)).toEqual(verdicts)
  })

  it("are read block by block, and each that is not well has a fix", () => {
    const several = `${told("a.service", "failed")}\n${told("b.socket", "inactive")}`
    const checks = readUnits(several).flatMap(checkUnit)
    expect(checks.map(({ what }) => what)).toEqual(["a.service", "b.socket"])
    expect(checks.every(({ fix }) => fix.includes("systemctl"))).toBe(true)
  })
})

describe("the kernel", () => {
  const what = async (name: string) => (await installationOf(root, [])).find(each => each.what === name)

  it("has the sha256 bank, or has not", async () => {
    expect(await what("pcr bank")).toBeUndefined()
    place("sys/class/tpm/tpm0/pcr-sha1/0", "")
    expect((await what("pcr bank"))?.fix).toContain("tpm2_pcrallocate")
    place("sys/class/tpm/tpm0/pcr-sha256/0", "")
    expect((await what("pcr bank"))?.verdict).toBe("ok")
  })

  it("has measured the code, or shows no rule that would", async () => {
    expect((await what("ima"))?.says).toContain("does not show IMA")
    const log = "sys/kernel/security/ima/ascii_runtime_measurements"
    place(log, "10 aa ima-ng sha256:bb boot_aggregate\n")
    expect((await what("ima"))?.fix).toContain("ima-policy")
    place(log, "10 aa ima-ng sha256:bb boot_aggregate\n10 aa ima-ng sha256:bb /usr/lib/assay/node\n")
    expect((await what("ima"))?.verdict).toBe("ok")
  })
})
