/** Is a log taken only if it is whole, in its own epoch, and reproduces the quoted PCR? Over evidence of a real TPM. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readEvent } from "../attestation/protocol/event.ts"
import { type Body } from "../attestation/protocol/evidence.ts"
import { celRecord, readCel, writeCelLine } from "../attestation/tcg/cel.ts"
import { type Expected, type UntrustedEvidence } from "../attestation/verify/verify.ts"
import { logPcr, type Machine, measurement, type Options, startMachine } from "./evidence-maker.ts"
import { type Alter, attested as attestedBy, judged as judgedBy } from "./judge.ts"

let machine: Machine

beforeAll(async () => {
  machine = await startMachine()
  await machine.append(measurement("vllm", [["sha256", "aa"]]))
  await machine.append(measurement("größe 𝄞", []))
})
afterAll(() => machine.tpm.stop())

const judged = (untrusted: UntrustedEvidence, change: Partial<Expected> = {}): string[] =>
  judgedBy(machine, untrusted, change)
const attested = (options: Options, change: Partial<Expected> = {}): Promise<string[]> =>
  attestedBy(machine, options, change)

describe("the log", () => {
  const withLog = async (log: Uint8Array | undefined): Promise<string[]> => {
    const { envelope } = await machine.attest()
    return judged({ envelope, logs: log ? new Map([["assay", log]]) : new Map() })
  }
  const lines = (): Uint8Array[] => readCel(machine.log()).map(writeCelLine)

  test("C9 missing, or cut", async () => {
    expect(await withLog(undefined)).toEqual(["refused", "log.missing"])
    expect(await withLog(machine.log().subarray(0, -1))).toEqual(["refused", "log.missing"])
    expect(await withLog(Buffer.concat(lines().slice(0, -1)))).toEqual(["refused", "log.missing"])
  })

  test("C9 edited, with a digest that fits the edit", async () => {
    const text = Buffer.from(machine.log()).toString().replace("vllm", "vIlm")
    expect(await withLog(Buffer.from(text))).toEqual(["refused", "log.digest", "log.malformed"])
    const records = readCel(machine.log())
    const content = records[1]?.content.replace("vllm", "vIlm") ?? ""
    const edited = records.map((record, i) => (i === 1 ? celRecord(1, logPcr, ["sha256", "sha384"], content) : record))
    expect(await withLog(Buffer.concat(edited.map(writeCelLine)))).toEqual(["refused", "log.digest", "log.replay"])
  })

  test("C9 shorter than the PCR's, and quoted so", async () =>
    expect(await attested({ log: Buffer.concat(lines().slice(0, -1)) })).toEqual(["refused", "log.replay"]))

  test("empty, and quoted so", async () =>
    expect(await attested({ log: new Uint8Array(0) })).toEqual(["refused", "log.epoch", "log.replay"]))

  test("two records exchanged", async () => {
    const [first, second, third] = readCel(machine.log())
    const swapped = [first, third, second].map((record, recnum) => ({ ...record!, recnum }))
    expect(await attested({ log: Buffer.concat(swapped.map(writeCelLine)) })).toEqual(["refused", "log.replay"])
  })

  test("under a name that is not known, and twice", async () => {
    const logs =
      (names: string[]): Alter<Body> =>
      body => ({
        ...body,
        logs: names.map(name => ({ ...body.logs[0]!, name })),
      })
    expect(await attested({ alterBody: logs(["assay", "other"]) })).toEqual(["refused", "log.unknown"])
    expect(await attested({ alterBody: logs(["other"]) })).toEqual(["refused", "log.missing", "log.unknown"])
    expect(await attested({ alterBody: logs(["assay", "assay"]) })).toEqual(["refused", "log.missing"])
  })

  test("another PCR than the log's is named", async () =>
    expect(await attested({ alterBody: body => ({ ...body, logPcr: 16 }) })).toEqual([
      "refused",
      "log.malformed",
      "log.pcr",
    ]))

  test("C5 a foreign extend", async () => {
    await machine.tpm.tool("tpm2_pcrextend", `23:sha256=${"ab".repeat(32)}`)
    const found = await attested({})
    await restore()
    expect(found).toEqual(["refused", "log.replay"])
  })

  test("C28 an epoch that the quoted counters do not show, or a second one", async () => {
    const log = machine.log()
    const epoch = await machine.epoch()
    await rewrite([{ ...epoch, resetCount: epoch.resetCount + 1 }])
    const ahead = await attested({})
    await rewrite([measurement("before any epoch")])
    const without = await attested({})
    await rewrite([epoch, epoch])
    const twice = await attested({})
    await rewrite(readCel(log).map(record => readEvent(record.content)))
    expect([ahead, without, twice]).toEqual([ahead, ahead, ahead])
    expect(ahead).toEqual(["refused", "log.epoch"])
    expect(await attested({})).toEqual(["authentic"])
  })

  test("M13 one record may stand before the epoch's, and no more", async () => {
    const log = machine.log()
    const left = measurement("written before a suspend, extended after it")
    await rewrite([left, await machine.epoch("resume")])
    const second = await attested({})
    await rewrite([left, left, await machine.epoch("resume")])
    const third = await attested({})
    await rewrite(readCel(log).map(record => readEvent(record.content)))
    expect([second, third]).toEqual([["authentic"], ["refused", "log.epoch"]])
  })

  /** PCR 23 anew: whoever may use the TPM may do this. */
  async function rewrite(events: Parameters<Machine["append"]>[0][]): Promise<void> {
    await machine.tpm.tool("tpm2_pcrreset", "23")
    machine.forget()
    for (const event of events) await machine.append(event)
  }
  const restore = (): Promise<void> => rewrite(readCel(machine.log()).map(record => readEvent(record.content)))
})
