/** Which parsers read what files, programs and servers of a machine say of themselves? */
import { BadHeader, readGguf, ShortHeader } from "../../agent/hash/gguf.ts"
import { readSafetensors } from "../../agent/hash/safetensors.ts"
import { verbs } from "../../agent/reader/verbs.ts"
import { takeSignals } from "../../agent/resume/bus.ts"
import { readRocm } from "../../agent/sources/amd/rocm-smi.ts"
import { readDevices } from "../../agent/sources/firmware/fwupd.ts"
import { BadTable, steadyDigest, stringsOf, structuresIn } from "../../agent/sources/firmware/smbios.ts"
import { readPrograms } from "../../agent/sources/kernel/bpf.ts"
import { buildId } from "../../agent/sources/kernel/build-id.ts"
import { signerIn } from "../../agent/sources/kernel/signer.ts"
import { readSmi } from "../../agent/sources/nvidia/smi.ts"
import { BadXml, parseXml } from "../../agent/sources/nvidia/xml.ts"
import { inMaps } from "../../agent/sources/process/maps.ts"
import { entriesIn } from "../../agent/sources/python/package.ts"
import type { Found } from "../../agent/found.ts"
import type { ZodType } from "zod"
import { Malformed } from "../../attestation/wire/codec.ts"
import { readJson } from "../../attestation/wire/json.ts"
import { join, utf8 } from "./seeds.ts"
import { Broken, type Target } from "./target.ts"

type Rest = Pick<Target, "name" | "grammar" | "take"> & Partial<Pick<Target, "refusal">>
const target = ({ refusal = Malformed, ...rest }: Rest, ...seeds: readonly Uint8Array[]): Target => ({
  ...rest,
  refusal,
  seeds: () => seeds,
})

/** What is not present is refused with its problem. */
function present<T>(found: Found<T>): T {
  if (found.state === "present") return found.value
  throw new Malformed(found.state === "absent" ? "absent" : found.problem)
}

const u32 = (...values: readonly number[]): Uint8Array => {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, 4 * i)
  return new Uint8Array(bytes)
}
const u64 = (value: number): Uint8Array => u32(value, 0)
const counted = (text: string): Uint8Array => join(u64(text.length), utf8(text))

const gguf = join(
  ...[utf8("GGUF"), u32(3), u64(1), u64(3)],
  ...[counted("general.name"), u32(8), counted("a model")],
  ...[counted("general.alignment"), u32(4, 32)],
  ...[counted("tokens"), u32(9, 8), u64(2), counted("a"), counted("b")],
  ...[counted("weight"), u32(1), u64(4), u32(0), u64(0), new Uint8Array(64)],
)
const tensors = utf8('{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
const safetensors = join(u64(tensors.length), tensors, new Uint8Array(8))

/** A header that asks for more bytes asks for more than it has, and not for more than the file. */
function whole(read: (bytes: Uint8Array, size: number) => unknown): Target["take"] {
  return bytes => {
    try {
      read(bytes, bytes.length)
    } catch (error) {
      if (!(error instanceof ShortHeader)) throw error
      throw new BadHeader("more is needed")
    }
  }
}

const models: readonly Target[] = [
  target({ name: "gguf-header", grammar: "bytes", refusal: BadHeader, take: whole(readGguf) }, gguf),
  target(
    { name: "safetensors-header", grammar: "bytes", refusal: BadHeader, take: whole(readSafetensors) },
    safetensors,
  ),
]

const smi = utf8(
  `<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">\n<nvidia_smi_log>\n<driver_version>550.120</driver_version>` +
    `<gpu id="00000000:01:00.0"><product_name>NVIDIA L4 &amp; co</product_name><!-- x --><vbios_version>95.04</vbios_version></gpu></nvidia_smi_log>`,
)
const rocm = utf8(
  '{"card0":{"Device ID":"0x744c","VBIOS version":"113","PCI Bus":"0000:03:00.0"},"system":{"Driver version":"6.7"}}',
)
const devices = utf8(
  `{"Devices":[{"Name":"SSD","DeviceId":"${"a".repeat(40)}","Plugin":"nvme","Version":"1.2","Guid":["g"],"Checksums":["${"b".repeat(40)}"]}]}`,
)
const programs = utf8(
  '[{"id":1,"type":"cgroup_device","name":"sd_devices","tag":"03b4eaae2f14641a","gpl_compatible":true}]',
)

const said: readonly Target[] = [
  target({ name: "nvidia-smi", grammar: "text", take: bytes => void present(readSmi(bytes)) }, smi),
  target(
    {
      name: "xml",
      grammar: "text",
      refusal: BadXml,
      take: bytes => void parseXml(Buffer.from(bytes).toString("utf8")),
    },
    smi,
  ),
  target({ name: "rocm-smi", grammar: "json", take: bytes => void present(readRocm(bytes)) }, rocm),
  target({ name: "fwupdmgr", grammar: "json", take: bytes => void present(readDevices(bytes)) }, devices),
  target({ name: "bpftool", grammar: "json", take: bytes => void present(readPrograms(bytes)) }, programs),
]

const smbios = join(
  Uint8Array.of(0, 8, 0, 0, 1, 2, 0, 0),
  utf8("Maker\u00001.2.3\u0000\u0000"),
  Uint8Array.of(127, 4, 1, 0, 0, 0),
)
const der = (tag: number, ...parts: readonly Uint8Array[]): Uint8Array => {
  const content = join(...parts)
  return join(Uint8Array.of(tag, content.length), content)
}
const commonName = der(0x30, der(6, Uint8Array.of(0x55, 4, 3)), der(0x0c, utf8("Build key")))
const signerInfo = der(
  0x30,
  der(2, Uint8Array.of(1)),
  der(0x30, der(0x30, der(0x31, commonName)), der(2, Uint8Array.of(7, 8))),
)
const signedData = der(0x30, der(2, Uint8Array.of(1)), der(0x31), der(0x31, signerInfo))
const pkcs7 = der(0x30, der(6, Uint8Array.of(42)), der(0xa0, signedData))
const signedModule = join(
  ...[utf8("ELF"), pkcs7, Uint8Array.of(0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, pkcs7.length)],
  utf8("~Module signature appended~\n"),
)
const note = join(u32(4, 4, 3), utf8("GNU\u0000"), Uint8Array.of(1, 2, 3, 4))
const maps = utf8("7f0000000000-7f0000001000 r-xp 00000000 08:01 77 /usr/lib/libcuda.so.1\n")
const record = utf8(`torch/a.py,sha256=${"A".repeat(43)},10\n"torch/b,c.py",,\n`)

const files: readonly Target[] = [
  target(
    {
      ...{ name: "smbios", grammar: "bytes", refusal: BadTable },
      take: bytes => {
        const structures = structuresIn(bytes)
        steadyDigest(structures)
        stringsOf(structures)
      },
    },
    smbios,
  ),
  target(
    {
      ...{ name: "module-signature", grammar: "bytes" },
      take: bytes => {
        if (signerIn(bytes) === "none") throw new Malformed("no signature")
      },
    },
    signedModule,
  ),
  target(
    { name: "elf-notes", grammar: "bytes", take: bytes => void present(buildId({ state: "present", value: bytes })) },
    note,
  ),
  target(
    {
      ...{ name: "proc-maps", grammar: "text" },
      take: bytes => {
        if (inMaps(bytes).length === 0) throw new Malformed("no file is mapped")
      },
    },
    maps,
  ),
  target(
    {
      ...{ name: "python-record", grammar: "text" },
      take: bytes => {
        if (entriesIn(bytes).some(({ path }) => path.includes("\0"))) throw new Broken("a path that is none")
        if (entriesIn(bytes).length === 0) throw new Malformed("no entry")
      },
    },
    record,
  ),
]

const wanted = { sender: "org.x", path: "/x", interface: "x.Y", member: "PrepareForSleep" }
const padded = (bytes: Uint8Array): Uint8Array => join(bytes, new Uint8Array((8 - (bytes.length % 8)) % 8))
const field = (code: number, type: string, value: string): Uint8Array =>
  padded(
    type === "g"
      ? join(Uint8Array.of(code, 1, 0x67, 0, value.length), utf8(`${value}\0`))
      : join(Uint8Array.of(code, 1, type.charCodeAt(0), 0), u32(value.length), utf8(`${value}\0`)),
  )
const fields = join(
  field(1, "o", wanted.path),
  field(2, "s", wanted.interface),
  field(3, "s", wanted.member),
  field(8, "g", "b"),
)
const signal = join(Uint8Array.of(0x6c, 4, 0, 1), u32(4, 1, fields.length), fields, u32(1))

const questions: readonly ZodType[] = Object.values(verbs).map(({ request }) => request)

const spoken: readonly Target[] = [
  target(
    {
      ...{ name: "d-bus-signal", grammar: "bytes" },
      take: bytes => {
        let heard = 0
        const left = takeSignals(Buffer.from(bytes), wanted, () => heard++)
        if (left.length > bytes.length) throw new Broken("more is left than there was")
        if (heard === 0) throw new Malformed(left.length === 0 ? "another message" : "not a whole message")
      },
    },
    signal,
  ),
  target(
    {
      ...{ name: "reader-verbs", grammar: "json" },
      take: bytes => {
        const fits = questions.filter(request => {
          try {
            return readJson(request, bytes, 1 << 16) !== undefined
          } catch (error) {
            if (error instanceof Malformed) return false
            throw error
          }
        })
        if (fits.length === 0) throw new Malformed("no question of the reader's")
      },
    },
    utf8('{"process":7,"link":"exe"}'),
  ),
]

/** What a machine says of itself. */
export const machine: readonly Target[] = [...models, ...said, ...files, ...spoken]
