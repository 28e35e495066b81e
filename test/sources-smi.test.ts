/** What else does an nvidia-smi say: of parts of cards, of cards that are lost, beside its XML, and in releases old and new? */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { cardFacts, machineFacts, readSmi, type Smi } from "../agent/sources/nvidia/smi.ts"
import { contextOf, measured, on, subject, valuesOf } from "./hosts.ts"

const hasher = new Hasher()
const scratch = mkdtempSync(join(tmpdir(), "assay-smi-"))
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

const captures = join(import.meta.dirname, "../../shared/vectors/nvidia-smi")
const h100 = readFileSync(join(on("h100"), "usr/share/said/query.xml"), "utf8")

function smiOf(text: string | Uint8Array): Smi {
  const read = readSmi(Buffer.from(text))
  if (read.state !== "present") throw new Error(JSON.stringify(read))
  return read.value
}

const factOf = (text: string, name: string): readonly (readonly [string, string])[] =>
  smiOf(text).cards.flatMap(each =>
    cardFacts(each).filter(([key, value]) => [key, value.split(": ")[0]].includes(`nvidia-smi/${name}`)),
  )
const without = (field: string): string => h100.replaceAll(new RegExp(`<${field}>[^<]*</${field}>`, "g"), "")
const saying = (field: string, value: string): string =>
  h100.replaceAll(new RegExp(`<${field}>[^<]*</${field}>`, "g"), `<${field}>${value}</${field}>`)

describe("the program's XML", () => {
  it("of each release says what it says, and the rest is absent", () => {
    for (const name of readdirSync(captures).filter(each => each.endsWith(".xml"))) {
      const text = readFileSync(join(captures, name), "utf8")
      for (const card of smiOf(text).cards) {
        const told = [...card.fields].filter(([field]) => !field.startsWith("mig_device/")).map(([, value]) => value)
        for (const value of told) expect(text, name).toContain(value.replaceAll("&", "&amp;"))
        const facts = cardFacts(card)
        for (const field of ["vbios_version", "gsp_firmware_version"]) {
          const said = new RegExp(`<${field}>([^<]*)</${field}>`).exec(text)?.[1]
          const wanted = said === undefined ? ["absent", `nvidia-smi/${field}`] : [`nvidia-smi/${field}`, said]
          expect(facts, name).toContainEqual(wanted)
        }
      }
    }
    const cut = smiOf(readFileSync(join(captures, "a100-sxm4-v12.xml"))).cards[0]
    expect(cut?.fields.get("mig_device/0")).toMatch(/^gpu instance \d+, compute instance \d+, \d+ multiprocessors$/)
    const old = smiOf(readFileSync(join(captures, "gtx-1070-ti.xml")))
    expect(machineFacts(old)).toContainEqual(["absent", "nvidia-smi/driver_version"])
  })

  it("that leaves a field out, or leaves it empty, tells no value", () => {
    expect(factOf(without("gsp_firmware_version"), "gsp_firmware_version")).toEqual([
      ["absent", "nvidia-smi/gsp_firmware_version"],
    ])
    expect(factOf(saying("vbios_version", " "), "vbios_version")).toEqual([["absent", "nvidia-smi/vbios_version"]])
  })

  it.each(["GPU is lost", "ERR!", "[Unknown Error]", "Insufficient Permissions", "GPU requires reset"])(
    "that says %s in place of a value has none",
    words => {
      const text = saying("vbios_version", words)
      expect(factOf(text, "vbios_version")).toEqual([["unreadable", `nvidia-smi/vbios_version: says ${words}`]])
      expect(smiOf(text).cards[0]?.fields.has("vbios_version")).toBe(false)
    },
  )

  it("tells each part of a card that is cut by MIG", () => {
    const part = (i: number): string =>
      `<mig_device><index>${i}</index><gpu_instance_id>${i + 7}</gpu_instance_id><compute_instance_id>0</compute_instance_id>` +
      "<device_attributes><shared><multiprocessor_count>16</multiprocessor_count></shared></device_attributes></mig_device>"
    const text = h100.replace(
      /<mig_devices>[^]*?<\/mig_devices>|(?=<\/gpu>)/,
      `<mig_devices>${part(0)}${part(1)}</mig_devices>`,
    )
    expect(cardFacts(smiOf(text).cards[0] ?? expect.fail())).toEqual(
      expect.arrayContaining([
        ["nvidia-smi/mig_device/0", "gpu instance 7, compute instance 0, 16 multiprocessors"],
        ["nvidia-smi/mig_device/1", "gpu instance 8, compute instance 0, 16 multiprocessors"],
      ]),
    )
  })

  it("is found between warnings, which are told", () => {
    const text = `\ufeffWARNING: one\n${h100}\nWARNING: infoROM is corrupted at gpu 0000:01:00.0\n`
    expect(smiOf(text).cards).toEqual(smiOf(h100).cards)
    const remark = ["nvidia-smi/remark", "WARNING: one WARNING: infoROM is corrupted at gpu 0000:01:00.0"]
    expect(machineFacts(smiOf(text))).toContainEqual(remark)
    expect(machineFacts(smiOf(h100)).some(([name]) => name === "nvidia-smi/remark")).toBe(false)
  })

  it("of a machine with many cards tells each, by the address that the kernel writes", () => {
    const [, card = ""] = /(<gpu id[^]*<\/gpu>)/.exec(h100) ?? []
    const at = (id: string): string => card.replace(/<gpu id="[^"]*"/, `<gpu id="${id}"`)
    const ids = ["00000000:0A:00.0", "0000:3B:00.0", "00010000:E1:00.0", "0000000A:01:00.0"]
    expect(smiOf(h100.replace(card, ids.map(at).join(""))).cards.map(({ address }) => address)).toEqual([
      "0000:0a:00.0",
      "0000:3b:00.0",
      "10000:e1:00.0",
      "000a:01:00.0",
    ])
    const unnamed = card
      .replace(/<gpu id="[^"]*"/, "<gpu")
      .replace("<pci>", "<pci><pci_bus_id>00000000:0A:00.0</pci_bus_id>")
    expect(smiOf(h100.replace(card, unnamed)).cards[0]?.address).toBe("0000:0a:00.0")
  })

  it("that ends in the middle is none", () => {
    for (const size of [h100.length - 3, h100.length >> 1, 200]) {
      const read = readSmi(Buffer.from(h100.slice(0, size)))
      expect(read).toMatchObject({ state: "unreadable", problem: expect.stringMatching(/^its XML /) })
    }
  })
})

describe("confidential computing", () => {
  const why = async (state: string, form: (text: string) => string = text => text): Promise<string | undefined> => {
    const root = join(scratch, state)
    cpSync(on("h100"), root, { recursive: true, verbatimSymlinks: true })
    const said = join(root, "usr/share/said/conf-compute.txt")
    const text = readFileSync(said, "utf8").replace(/^(\s*CC State\s*:).*$/m, `$1 ${state}`)
    writeFileSync(said, form(text))
    return valuesOf(subject(await measured("driver", contextOf(hasher, root)), "nvidia"), "attestation")[0]
  }

  it("that is on, off or not known is said to be the reason why no card's report is there", async () => {
    expect(await why("ON")).toBe("unavailable: this agent asks no card for a report")
    expect(await why("OFF")).toBe("unavailable: confidential computing is off")
    expect(await why("gone", () => "")).toBe("unavailable: nothing shows confidential computing")
  })
})
