/** Does the collector admit, ask, judge, keep and show as it says? With a real TPM's evidence over real sockets. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { evidenceDigest } from "../attestation/protocol/evidence.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { answer, enrol, hello, submit } from "./collector-attester.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { type Machine, measurement, startMachine } from "./evidence-maker.ts"

let folder: string
let house: House
let machine: Machine

beforeAll(async () => {
  folder = temporaryFolder()
  ;[house, machine] = await Promise.all([startHouse(folder), startMachine()])
})
afterAll(async () => {
  await house.stop()
  await machine.tpm.stop()
  removeFolder(folder)
})

test("an attester joins, answers, and is shown", async () => {
  await machine.append(measurement("a"))
  const invitation = await invitationFrom(house)
  expect(toHex(readInvitation(invitation).pin)).toBe(toHex(house.collector.pin))
  const line = await enrol(machine, invitation)
  const challenge = await hello(line, machine)
  const evidence = await answer(machine, line, challenge, {})
  await submit(line, challenge.id, evidence)
  const acknowledged = await line.next("acknowledged")
  expect(acknowledged).toMatchObject({
    tier: "warning",
    evidence: evidenceDigest(fromBase64(readEnvelope(evidence.envelope).payload)),
  })
  const status = await house.admin.call("status", { attester: "gpu-1" })
  expect(status.standing).toMatchObject({ state: "warning", stale: false, connected: true })
  line.close()
})
