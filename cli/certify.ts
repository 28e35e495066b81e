/** Whose machine is it? The holder of the firm's root key certifies the keys of an enrolment, and the collector cannot. */
import { z } from "zod"
import { writeCertification } from "../attestation/pins/certification.ts"
import { signNote, writeNote } from "../attestation/pins/note.ts"
import { keyIdOf } from "../attestation/protocol/dsse.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { approvedAt, openKey, publishNote, readKey } from "./governance.ts"
import { askOffice, type Office, whichAttester } from "./office.ts"
import { told } from "./pin.ts"
import { plain } from "./terminal.ts"
import { row } from "./verdict.ts"

export const keyCertify = command({
  name: "key certify",
  says: "certify the keys of an enrolled machine with the firm's root key",
  teaches:
    "Shows which attestation key and evidence key a machine enrolled with, signs them with the root key that the policy " +
    "names, and publishes that. Do it where you can see the machine: compare the attester's name with the one it prints.",
  takes: [["[attester]", "by name or label; may be left out where there is only one"]],
  options: [
    ["--key <file>", "the root key's file"],
    ["--change <text>", "the change that this belongs to"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay key certify gpu-1 --key root.key --change CHG-20418"],
  exits: ["good", "failed", "misuse", "unacceptable", "unauthentic", "missing", "configuration"],
  reads: z.object({
    attester: text.optional(),
    key: text,
    change: z.string().regex(/^[!-~]([ -~]{0,298}[!-~])?$/, "not plain words"),
    config: text.optional(),
    json: flag,
  }),
  run: async ({ attester, key, change, config, json }, terminal) => {
    const file = await readKey(key)
    const { policy, enrolled } = await askOffice(config, async office => ({
      ...(await approvedAt(office)),
      enrolled: await enrolledAt(office, attester),
    }))
    if (!policy.policy.roots.some(({ name }) => name === file.key.name))
      throw new Problem("failed", `${file.key.name} is no root key of the policy in force`, "name the root key's file")
    if (!json) {
      row(terminal.out, "attester", enrolled.attester)
      row(terminal.out, "label", plain(enrolled.label))
      row(terminal.out, "AK", enrolled.ak)
      row(terminal.out, "evidence", `key sha256:${enrolled.evidenceKey}`)
    }
    const opened = await openKey(file)
    const text = writeCertification({
      ...{
        origin: policy.policy.origin,
        policy: policy.digest,
        attester: enrolled.attester,
        enrolment: enrolled.number,
      },
      ...{ ak: enrolled.ak, evidenceKey: enrolled.evidenceKey, at: Math.floor(terminal.now() / 1000) * 1000 },
      ...{ by: file.person, change },
    })
    const note = writeNote({ text, signatures: [signNote(text, opened, opened.sign)] })
    return told(terminal, await askOffice(config, office => publishNote(office, note)), json)
  },
})

type Enrolled = {
  readonly attester: string
  readonly label: string
  readonly number: number
  readonly ak: string
  readonly evidenceKey: string
}

async function enrolledAt(office: Office, named: string | undefined): Promise<Enrolled> {
  const { standing, enrolled } = await office.call("status", { attester: await whichAttester(office, named) })
  const { attester, label } = standing
  const { number, ak, evidenceKey } = enrolled
  return { attester, label, number, ak, evidenceKey: keyIdOf(fromBase64(evidenceKey)) }
}
