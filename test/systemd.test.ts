/** Are the units as hardened as they say, judged by systemd itself? `systemd-analyze` scores 0 (locked down) to 10. */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"

const folder = join(import.meta.dirname, "../systemd")
const services = readdirSync(folder).filter(name => name.endsWith(".service"))
const text = (name: string): string => readFileSync(join(folder, name), "utf8")

describe.each(services)("%s", name => {
  it("scores at most 1.8", () => {
    const unit = join(folder, name)
    execFileSync("systemd-analyze", ["security", "--offline=true", "--threshold=18", "--no-pager", unit], {
      stdio: "pipe",
    })
  })

  it("leaves V8 its machine code, and says why", () => {
    expect(text(name)).toMatch(/^# No MemoryDenyWriteExecute=/m)
    expect(text(name)).not.toMatch(/^MemoryDenyWriteExecute=/m)
  })
})

it("gives the TPM to the broker alone, and the broker no network", () => {
  expect(services.filter(name => text(name).includes("DeviceAllow="))).toEqual(["assay-broker.service"])
  expect(text("assay-broker.service")).toMatch(/^PrivateNetwork=yes$/m)
  expect(text("assay-broker.service")).toMatch(/^RestrictAddressFamilies=AF_UNIX$/m)
})
