/** Are the units as hardened as they say, judged by systemd itself? `systemd-analyze` scores 0 (locked down) to 10. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
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

it("gives rights to the reader alone: two, no network, and nothing to write to", () => {
  const rights = (name: string): string[] =>
    [...text(name).matchAll(/^(?:CapabilityBoundingSet|AmbientCapabilities)=(.*)$/gm)].map(([, each]) => each ?? "")
  expect(rights("assay-reader.service")).toEqual(Array(2).fill("CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"))
  for (const name of services.filter(each => each !== "assay-reader.service")) expect(rights(name)).toEqual(["", ""])
  expect(text("assay-reader.service")).toMatch(/^PrivateNetwork=yes$/m)
  expect(text("assay-reader.service")).toMatch(/^RestrictAddressFamilies=AF_UNIX$/m)
  expect(text("assay-reader.service")).not.toMatch(/^(?:StateDirectory|ReadWritePaths|SupplementaryGroups)=/m)
})

it("costs the reader what its two rights are worth to systemd, and no more", () => {
  const score = (unit: string): number => Number(/level for \S+: (\d+\.\d)/.exec(analysed(unit))?.[1])
  const without = text("assay-reader.service").replaceAll(/^(CapabilityBoundingSet|AmbientCapabilities)=.*$/gm, "$1=")
  const scratch = mkdtempSync(join(tmpdir(), "assay-unit-"))
  try {
    const bare = join(scratch, "assay-reader.service")
    writeFileSync(bare, without)
    const whole = score(join(folder, "assay-reader.service"))
    expect(whole).toBeLessThanOrEqual(1.2)
    expect(whole - score(bare)).toBeCloseTo(0.6)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
})

const analysed = (unit: string): string =>
  execFileSync("systemd-analyze", ["security", "--offline=true", "--no-pager", unit], { encoding: "utf8" })

it("gives the agent the driver's own devices and no other", () => {
  const given = services.flatMap(name =>
    [...text(name).matchAll(/^(?:DeviceAllow|BindPaths)=(.*)$/gm)].map(([, each]) => `${name} ${each}`),
  )
  expect(given.filter(each => !each.startsWith("assay-broker.service "))).toEqual([
    "assay-agent.service char-nvidia* rw",
    expect.stringMatching(/^assay-agent\.service -\/dev\/nvidiactl(?: -\/dev\/nvidia\d+){16}$/),
  ])
  for (const name of services) expect(text(name)).toMatch(/^DevicePolicy=closed$/m)
})

it("gives the TPM to the broker alone, and the broker no network", () => {
  expect(services.filter(name => /^(?:DeviceAllow|BindPaths)=.*tpm/m.test(text(name)))).toEqual([
    "assay-broker.service",
  ])
  expect(text("assay-broker.service")).toMatch(/^PrivateNetwork=yes$/m)
  expect(text("assay-broker.service")).toMatch(/^RestrictAddressFamilies=AF_UNIX$/m)
})
