/** What is told of firmware: the SMBIOS table as it is laid out, what contradicts it, and controllers beside the processor. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, property, uint8Array } from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { BadTable, steadyDigest, stringsOf, structuresIn } from "../agent/sources/firmware/smbios.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { contextOf, measured, on, subject, valuesOf } from "./hosts.ts"

const hasher = new Hasher()
const scratch = mkdtempSync(join(tmpdir(), "assay-firmware-"))
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

const firmwareOf = (root: string): Promise<readonly Measurement[]> => measured("firmware", contextOf(hasher, root))
const copyOf = (host: string, name: string): string => {
  const root = join(scratch, name)
  cpSync(on(host), root, { recursive: true, verbatimSymlinks: true })
  return root
}
const table = "sys/firmware/dmi/tables/DMI"
const efivars = "sys/firmware/efi/efivars"
const variable = (name: string): string => `${efivars}/${name}-8be4df61-93ca-11d2-aa0d-00e098032b8c`

describe("SMBIOS", () => {
  /** A structure: type, fields behind the handle, strings. */
  const structure = (type: number, fields: number[], ...strings: string[]): Buffer =>
    Buffer.concat([
      Buffer.from([type, 4 + fields.length, 0, type, ...fields]),
      strings.length === 0 ? Buffer.alloc(2) : Buffer.from(`${strings.map(each => `${each}\0`).join("")}\0`),
    ])
  const whole = (token: number): Buffer =>
    Buffer.concat([
      structure(0, [1, 2, 0, 0, 0], "Maker", "1.20 "),
      structure(15, [token]),
      structure(127, []),
      Buffer.from("behind the end"),
    ])

  it("is taken apart as DSP0134 lays it out", () => {
    const structures = structuresIn(whole(1))
    expect(structures.map(({ type, strings }) => [type, strings.length])).toEqual([
      [0, 2],
      [15, 0],
    ])
    expect([...stringsOf(structures)]).toEqual([
      ["bios_vendor", "Maker"],
      ["bios_version", "1.20"],
    ])
  })

  it("has one digest whatever the firmware logged, and another for any other byte", () => {
    const digest = steadyDigest(structuresIn(whole(1)))
    expect(steadyDigest(structuresIn(whole(2)))).toBe(digest)
    for (let at = 2; at < 20; at++) {
      const altered = whole(1)
      altered[at] = (altered[at] ?? 0) ^ 0x20
      const read = (): string => steadyDigest(structuresIn(altered))
      try {
        expect(read()).not.toBe(digest)
      } catch (error) {
        if (!(error instanceof BadTable)) throw error
      }
    }
  })

  it("is refused when cut, and read or refused when it is anything else", () => {
    const cut = whole(1).subarray(0, 15)
    for (let size = 1; size <= cut.length; size++) expect(() => structuresIn(cut.subarray(0, size))).toThrow(BadTable)
    assert(
      property(uint8Array({ maxLength: 80 }), bytes => {
        try {
          stringsOf(structuresIn(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(BadTable)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it("that is none is told by the digest of its bytes, and that it is none", async () => {
    const root = copyOf("workstation-nvidia", "none")
    writeFileSync(join(root, table), "x")
    const smbios = subject(await firmwareOf(root), "smbios")
    expect(valuesOf(smbios, "unreadable")).toEqual(["table: no structure at byte 0"])
    expect(valuesOf(smbios, "table-bytes")).toHaveLength(1)
  })

  it("that says other than the kernel is a contradiction", async () => {
    expect(valuesOf(subject(await firmwareOf(on("workstation-nvidia")), "smbios"), "contradiction")).toEqual([])
    expect(valuesOf(subject(await firmwareOf(on("workstation-nvidia-other")), "smbios"), "contradiction")).toEqual([
      "SMBIOS bios_version: /sys/class/dmi/id says 1.21, the table says 9.99",
    ])
  })
})

describe("UEFI", () => {
  it("cannot have Secure Boot on and no platform key", async () => {
    const root = copyOf("workstation-nvidia", "setup")
    const on = readFileSync(join(root, variable("SecureBoot")))
    writeFileSync(join(root, variable("SetupMode")), on)
    expect(valuesOf(subject(await firmwareOf(root), "uefi"), "contradiction")).toHaveLength(1)
  })

  it("tells keys that the owner enrolled with shim, and firmware of the ESRT", async () => {
    const root = copyOf("workstation-nvidia", "mok")
    const before = subject(await firmwareOf(root), "uefi")
    expect(valuesOf(before, "MokListRT")).toEqual([])
    expect(valuesOf(before, "esrt/entry0/fw_version")).toEqual(["65560"])
    writeFileSync(join(root, efivars, "MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23"), "\x06\0\0\0a key")
    expect(valuesOf(subject(await firmwareOf(root), "uefi"), "MokListRT")).toHaveLength(1)
  })
})

describe("processors and controllers", () => {
  it("that have different microcode are a contradiction", async () => {
    const microcode = subject(await firmwareOf(on("workstation-nvidia-other")), "microcode")
    expect(valuesOf(microcode, "contradiction")).toEqual([
      "microcode: a processor has 0x2c000390, a processor has 0x2c000381",
    ])
  })

  it("are read from /proc/cpuinfo where sysfs tells no microcode", async () => {
    const events = await firmwareOf(on("amd-w7900"))
    expect(valuesOf(subject(events, "microcode"), "revision")).toEqual(["0xa108108"])
    expect(JSON.stringify(events)).not.toContain("MHz")
  })

  it("tell their firmware, and not what names the single machine", async () => {
    const amd = subject(await firmwareOf(on("amd-w7900")), "controllers")
    expect(valuesOf(amd, "security-processor/0000:01:00.5/fused_part")).toEqual(["1"])
    expect(valuesOf(amd, "management-controller/ipmi_bmc.0/firmware_revision")).toEqual(["1.74"])
    expect(JSON.stringify(amd)).not.toContain("not told")
    expect(valuesOf(amd, "absent")).toEqual(["management-engine in /sys/class/mei"])
  })
})
