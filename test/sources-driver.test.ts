/** What is known of accelerators and their drivers: the captures of others, our own machines, and what contradicts itself. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, property, string } from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { readRocm, rocmFacts } from "../agent/sources/amd/rocm-smi.ts"
import { contradictions } from "../agent/sources/nvidia/contradiction.ts"
import { readSmi } from "../agent/sources/nvidia/smi.ts"
import { BadXml, parseXml, within } from "../agent/sources/nvidia/xml.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { contextOf, measured, on, subject, valuesOf } from "./hosts.ts"

const hasher = new Hasher()
const scratch = mkdtempSync(join(tmpdir(), "assay-driver-"))
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})
const driverOf = (host: string): Promise<readonly Measurement[]> => measured("driver", contextOf(hasher, on(host)))

describe("nvidia-smi", () => {
  const captures = join(import.meta.dirname, "../../shared/vectors/nvidia-smi")
  /** driver, VBIOS and GSP firmware that the captures' own page names; "" for what is not there. */
  const expected: Readonly<Record<string, readonly [string, string, string]>> = {
    "a100-sxm4-v12.xml": ["535.54.03", "92.00.36.00.02", "535.54.03"],
    "a10g.xml": ["515.105.01", "94.02.75.00.01", "515.105.01"],
    "gtx-1070-ti.xml": ["", "", ""],
    "gtx-1660-ti.xml": ["418.43", "90.16.25.00.4C", ""],
    "quadro-p2000-v12.xml": ["525.125.06", "86.06.3F.00.30", "N/A"],
    "quadro-p400.xml": ["418.43", "86.07.3B.00.4A", ""],
    "rtx-3060-v12.xml": ["570.124.04", "94.04.71.00.69", "570.124.04"],
    "rtx-3080-v12.xml": ["536.40", "94.02.71.40.72", "N/A"],
    "rtx-3080-v13.xml": ["595.58.03", "94.02.71.40.72", "595.58.03"],
    "rtx-3090-v12.xml": ["525.147.05", "94.02.71.40.72", "N/A"],
    "rtx-4000-sff-ada-v13.xml": ["595.84", "95.04.53.00.01", "595.84"],
    "tesla-t4.xml": ["515.105.01", "90.04.84.00.06", "515.105.01"],
  }

  it("is read as twelve real machines wrote it", () => {
    const seen = readdirSync(captures)
      .filter(name => name.endsWith(".xml"))
      .map(name => {
        const read = readSmi(readFileSync(join(captures, name)))
        if (read.state !== "present") throw new Error(`${name}: ${JSON.stringify(read)}`)
        const [card] = read.value.cards
        expect(card?.address, name).toMatch(/^0000:[0-9a-f]{2}:[0-9a-f]{2}\.0$/)
        expect(card?.fields.get("uuid"), name).toMatch(/^GPU-/)
        const of = (field: string): string => card?.fields.get(field) ?? ""
        return [name, [read.value.fields.get("driver_version") ?? "", of("vbios_version"), of("gsp_firmware_version")]]
      })
    expect(Object.fromEntries(seen)).toEqual(expected)
  })

  it("refuses XML that could make a reader fetch, grow or guess", () => {
    const bad: readonly [string, string][] = [
      ["", "is not understood"],
      ["<a>", "is not understood"],
      ["<a></b>", "ends b"],
      ["</a>", "ends a"],
      ["<a/><b/>", "behind its root"],
      ["<a/>x", "behind its root"],
      ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "is not understood"],
      ["<a>&b;</a>", "entity"],
      ["<a>&</a>", "entity"],
      ["<a>&#0;</a>", "entity"],
      ["<a>&#xd800;</a>", "entity"],
      ["<a>&constructor;</a>", "entity"],
      ['<a b="1" b="2"/>', "attributes"],
      ["<a><![CDATA[x]]></a>", "is not understood"],
      [`${"<a>".repeat(33)}${"</a>".repeat(33)}`, "deeper"],
      [`<a>${"<b/>".repeat(100_000)}</a>`, "elements"],
      ["<a>".padEnd((1 << 22) + 1), "too long"],
    ]
    for (const [text, problem] of bad) {
      expect(() => parseXml(text), text.slice(0, 60)).toThrow(BadXml)
      expect(() => parseXml(text), text.slice(0, 60)).toThrow(problem)
    }
    expect(readSmi(Buffer.from("<b/>"))).toEqual({ state: "unreadable", problem: "says b, not nvidia_smi_log" })
  })

  it("reads what XML has in store", () => {
    const root = parseXml(
      `<?xml version="1.0"?><!-- a --><a b='1' c="&lt;&#65;&#x42;"> x <!-- y --> <d>z</d><e/>&amp;</a>\n`,
    )
    expect([...root.attributes]).toEqual([
      ["b", "1"],
      ["c", "<AB"],
    ])
    expect(within(root, "d")?.text).toBe("z")
    expect(root.text.replace(/\s+/g, " ")).toBe("x &")
    expect(within(root, "d", "f")).toBeUndefined()
  })

  it("is read or refused, whatever it says, and soon", () => {
    const pieces = [
      "<a>",
      "</a>",
      "<gpu id='",
      "'>",
      "<!--",
      "-->",
      "<!DOCTYPE",
      "&",
      ";",
      "<?xml",
      "?>",
      "<",
      ">",
      " ",
      "=",
    ]
    assert(
      property(string({ unit: "binary", maxLength: 40 }), string({ maxLength: 20 }), (one, two) => {
        const text = Array.from(one)
          .map((each, i) => pieces[(each.codePointAt(0) ?? 0) % pieces.length] ?? two[i])
          .join(two)
        expect(["present", "unreadable"]).toContain(readSmi(Buffer.from(text)).state)
        expect(["present", "unreadable"]).toContain(
          readSmi(Buffer.from(`<nvidia_smi_log>${text}</nvidia_smi_log>`)).state,
        )
      }),
      { numRuns: 500 },
    )
    for (const long of ["<a b", "<!--", " ", "<a ", "&", '<a b="'])
      expect(() => parseXml(`<a>${long.repeat(500_000)}`)).toThrow(BadXml)
  })
})

describe("rocm-smi", () => {
  const captures = join(import.meta.dirname, "../../shared/vectors/rocm-smi")
  const names = readdirSync(captures).filter(name => name.endsWith(".json"))

  it("is read as real machines wrote it: VBIOS, firmware of each engine, identity, driver", () => {
    expect(names.length).toBe(8)
    for (const name of names) {
      const written = JSON.parse(readFileSync(join(captures, name), "utf8"))
      const read = readRocm(readFileSync(join(captures, name)))
      if (read.state !== "present") throw new Error(name)
      expect(read.value.driver, name).toBe(written.system?.["Driver version"] ?? "unknown")
      for (const [i, card] of Object.values<Record<string, string>>(written)
        .slice(0, read.value.cards.length)
        .entries()) {
        const { fields } = read.value.cards[i] ?? { fields: new Map<string, string>() }
        expect(fields.get("vbios version"), name).toBe(card["VBIOS version"])
        expect(fields.get("unique id"), name).toBe(card["Unique ID"])
        const engines = Object.keys(card).filter(key => key.endsWith("firmware version"))
        for (const engine of engines) expect(fields.get(engine.toLowerCase()), name).toBe(card[engine])
        expect([...fields.keys()].join(), name).not.toMatch(/temperature|clock|use|power|serial/)
      }
    }
  })

  it("is read whatever else a release says, in any case of letters", () => {
    const text = `\n\nWARNING: AMD GPU device(s) is/are in a low-power state.\n\n${JSON.stringify({
      card1: {
        "PCI Bus": "0000:C3:00.0",
        "VBIOS Version": "113-X",
        "Card Series": "X",
        Clocks: { a: [1] },
        "Node ID": null,
      },
      System: { "Driver Version": "6.12.12" },
    })}\n`
    const read = readRocm(Buffer.from(text))
    if (read.state !== "present") throw new Error(read.state)
    expect(read.value.driver).toBe("6.12.12")
    expect(read.value.cards.map(({ address, fields }) => [address, ...fields])).toEqual([
      ["0000:c3:00.0", ["vbios version", "113-X"], ["card series", "X"]],
    ])
    expect(read.value.cards.flatMap(rocmFacts)).toContainEqual(["absent", "rocm-smi/unique id"])
  })

  it("is refused in another form, and is its own word beside what the kernel says", async () => {
    for (const text of ["", "[]", "{", "{}", '{"card0": 1}', '{"system": {}}', "null"])
      expect(readRocm(Buffer.from(text)).state).toBe("unreadable")
    const card = (events: readonly Measurement[]) => subject(events, "rocm-smi/0000:03:00.0")
    const found = card(await driverOf("amd-w7900"))
    expect(valuesOf(found, "rocm-smi/vbios version")).toEqual(["113-D7070100-138"])
    expect(valuesOf(found, "contradiction")).toEqual([])
    const root = join(scratch, "amd")
    cpSync(on("amd-w7900"), root, { recursive: true, verbatimSymlinks: true })
    writeFileSync(join(root, "sys/bus/pci/devices/0000:03:00.0/vbios_version"), "113-OTHER\n")
    const disputed = card(await measured("driver", contextOf(hasher, root)))
    expect(valuesOf(disputed, "contradiction")).toEqual([
      "VBIOS: amdgpu says 113-OTHER, rocm-smi says 113-D7070100-138",
    ])
  })
})

describe("one machine", () => {
  it("is told by driver and program, each fact under the name of who says it", async () => {
    const events = await driverOf("rtx-6000-ada")
    const card = subject(events, "nvidia/0000:41:00.0")
    expect(valuesOf(card, "Video BIOS")).toEqual(["95.02.47.00.03"])
    expect(valuesOf(card, "nvidia-smi/ecc_mode/current_ecc")).toEqual(["Enabled"])
    expect(valuesOf(card, "nvidia-smi/inforom_version/img_version")).toEqual(["G133.0510.00.04"])
    expect(valuesOf(subject(events, "nvidia-smi"), "program/digest")).toHaveLength(1)
    expect(valuesOf(subject(events, "nvidia-firmware"), "gsp_ga10x.bin/digest")).toHaveLength(1)
    expect(events.flatMap(each => valuesOf(each, "contradiction"))).toEqual([])
    expect(JSON.stringify(events)).not.toMatch(/temp|fan|serial|timestamp/)
  })

  it("says why no card's own report is there", async () => {
    const why = async (host: string) => valuesOf(subject(await driverOf(host), "nvidia"), "attestation")
    expect(await why("h100")).toEqual(["unavailable: confidential computing is off"])
    expect(await why("rtx-4090")).toEqual(["unavailable: nothing shows confidential computing"])
    const smi = subject(await driverOf("h100"), "nvidia-smi")
    expect(valuesOf(smi, "nvidia-smi/conf-compute/GPU CC Capabilities")).toEqual(["CC Capable"])
  })

  it("with two cards tells each", async () => {
    const events = await driverOf("two-cards")
    const models = ["0000:01:00.0", "0000:61:00.0"].map(each => valuesOf(subject(events, `nvidia/${each}`), "Model"))
    expect(models).toEqual([["NVIDIA GeForce RTX 4090"], ["NVIDIA RTX A6000"]])
    expect(events.flatMap(each => valuesOf(each, "contradiction"))).toEqual([])
  })

  it("without a driver is not asked by a program that could load one", async () => {
    const events = await driverOf("amd-w7900")
    expect(subject(events, "nvidia-smi")).toBeUndefined()
    expect(valuesOf(subject(events, "pci/0000:03:00.0"), "vbios_version")).toEqual(["113-D7070100-138"])
    expect(valuesOf(subject(events, "pci/0000:04:00.0"), "vendor")).toEqual(["0x1ed2"])
  })
})

describe("contradictions", () => {
  it("between driver, program, firmware and bus are facts", async () => {
    const events = await driverOf("two-stories")
    expect(valuesOf(subject(events, "nvidia"), "contradiction")).toEqual([
      expect.stringMatching(/^driver version: driver says 570\.124\.06, .*nvidia-smi says 570\.133\.07/),
      "card 0000:61:00.0: driver does not, nvidia-smi lists it, PCI lists it",
    ])
    expect(valuesOf(subject(events, "nvidia/0000:01:00.0"), "contradiction")).toEqual([
      "VBIOS: driver says 95.02.3C.00.8C, nvidia-smi says 95.02.3C.00.99",
      "GSP firmware: driver says 570.124.06, nvidia-smi says 570.133.07",
    ])
  })

  it("of a driver that was upgraded and not loaded again are facts, and the program's failure is told", async () => {
    const events = await driverOf("mid-upgrade")
    expect(valuesOf(subject(events, "nvidia"), "contradiction")).toEqual([
      "driver version: driver says 550.120, /sys/module/nvidia says 550.120, /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.595.84 says 595.84, /usr/lib/x86_64-linux-gnu/libcuda.so.595.84 says 595.84",
    ])
    expect(subject(events, "nvidia-smi")?.state).toBe("unreadable")
    expect(subject(events, "nvidia-smi")?.facts[0]?.[1]).toContain(
      "ended with 18: Failed to initialize NVML: Driver/library version mismatch",
    )
  })

  it("are none about a card before it is initialised, or one that the driver was told to leave alone", async () => {
    const root = join(scratch, "early")
    cpSync(on("two-cards"), root, { recursive: true, verbatimSymlinks: true })
    const [first, second] = ["0000:01:00.0", "0000:61:00.0"].map(each =>
      join(root, "proc/driver/nvidia/gpus", each, "information"),
    )
    const unknown = "Model: Unknown\nGPU UUID: GPU-????????-????-????-????-????????????\nVideo BIOS: ??.??.??.??.??\n"
    writeFileSync(first ?? "", unknown)
    writeFileSync(second ?? "", readFileSync(second ?? "", "utf8").replace("Excluded:\t No", "Excluded:\t Yes"))
    const said = join(root, "usr/share/said/query.xml")
    writeFileSync(said, readFileSync(said, "utf8").replace(/<gpu id="00000000:61[^]*?<\/gpu>/, ""))
    const events = await measured("driver", contextOf(hasher, root))
    expect(events.flatMap(each => valuesOf(each, "contradiction"))).toEqual([])
    expect(valuesOf(subject(events, "nvidia/0000:01:00.0"), "unreadable")).toHaveLength(2)
  })

  it("are none where nobody says anything, or letters differ in case alone", () => {
    const words = (...values: (string | undefined)[]) => values.map((value, i) => ({ by: String(i), value }))
    expect(contradictions("x", words("N/A", "1", undefined, "", "??.??.??", "[N/A]"))).toEqual([])
    expect(contradictions("x", words("4c", "4C"))).toEqual([])
    expect(contradictions("x", words("NVIDIA A10", "A10"))).toEqual([])
    expect(contradictions("x", words("1", "2", "N/A"))).toEqual([["contradiction", "x: 0 says 1, 1 says 2"]])
  })
})
