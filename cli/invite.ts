/** How is a machine, or an outside verifier, let in? By an invitation under a person's name; and how is one taken back? */
import { z } from "zod"
import type { CollectorVerbs } from "../collector/verbs.ts"
import { attesterName, flag, text, wholeNumber } from "./given.ts"
import { askOffice, type Office } from "./office.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { type Output, plain, remark, writeJsonLine } from "./terminal.ts"

export const invite = command({
  name: "invite",
  says: "make an invitation, for one machine or for an outside verifier",
  teaches:
    "Prints one line that says where the collector is, what its key is, and a secret. For a machine it works once: give it " +
    "to assay join there. It is not kept and cannot be shown again. Whoever holds it can use it.",
  takes: [],
  options: [
    ["--by <person>", "who invites: kept with what it lets in"],
    ["--machine <name>", "what the machine is called (default: workstation)"],
    ["--verifier <name>", "invite an outside verifier of this name instead; it may ask until the invitation ends"],
    ["--lifetime <seconds>", "how long it admits (default: as configured)"],
    ["--accept-ek <name>", "admit this EK only, and vouch for it; needs --reason"],
    ["--reason <text>", "why you vouch for that EK"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay invite --by 'Ada Lovelace' | ssh workstation assay join"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({
    by: text,
    machine: text.default("workstation"),
    verifier: text.optional(),
    lifetime: wholeNumber(1, 2_592_000).optional(),
    acceptEk: attesterName.optional(),
    reason: text.optional(),
    config: text.optional(),
    json: flag,
  }),
  run: async ({ by, machine, verifier, lifetime, acceptEk, reason, config, json }, terminal) => {
    if ((acceptEk === undefined) !== (reason === undefined))
      throw new Problem("misuse", "--accept-ek and --reason go together", "give both: whoever vouches says why")
    const accept = acceptEk === undefined || reason === undefined ? null : { ek: acceptEk, by, reason }
    const purpose = verifier === undefined ? "attester" : "verifier"
    const request = { by, purpose, name: verifier ?? machine, lifetimeSeconds: lifetime ?? null, accept } as const
    const made = await askOffice(config, office => office.call("invite", request))
    if (json) writeJsonLine(terminal, made)
    else {
      terminal.out.write(`${made.invitation}\n`)
      remark(terminal, `admits ${purpose === "attester" ? "one machine" : "this verifier"} until ${made.expires}`)
      remark(terminal, `to take it back: assay revoke ${made.id} --by '${by}'`)
    }
    return "good"
  },
})

export const revoke = command({
  name: "revoke",
  says: "take an invitation back",
  teaches: "The invitation admits nobody from now on. Whoever it admitted before stays.",
  takes: [["<id>", "as assay invite said it"]],
  options: [["--by <person>", "who takes it back"], configOf("collector")],
  examples: ["assay revoke 6b86b273ff34… --by 'Ada Lovelace'"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ id: text, by: text, config: text.optional() }),
  run: async ({ id, by, config }, terminal) => {
    const { revoked } = await askOffice(config, office => office.call("revoke", { id, by }))
    remark(terminal, revoked ? "revoked" : "there is no such invitation, or it was revoked before")
    return revoked ? "good" : "failed"
  },
})

type Listed = z.infer<CollectorVerbs["invitations"]["answer"]>["invitations"][number]

export const invitations = command({
  name: "invitations",
  says: "list the invitations that were made, newest first",
  teaches:
    "Who invited whom, until when, and what became of it. The secret of an invitation is not kept: what is shown here " +
    "lets nobody in.",
  takes: [],
  options: [configOf("collector"), asJson],
  examples: ["assay invitations", "assay invitations --json | jq -r '.invitations[] | select(.state == \"open\").id'"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const all = await askOffice(config, listed)
    if (json) writeJsonLine(terminal, { invitations: all })
    else for (const each of all) writeInvitation(terminal.out, each)
    if (!json && all.length === 0) remark(terminal, "none was made yet: assay invite --by NAME")
    return "good"
  },
})

async function listed(office: Office): Promise<Listed[]> {
  const all: Listed[] = []
  let before: string | null = null
  do {
    const page: z.infer<CollectorVerbs["invitations"]["answer"]> = await office.call("invitations", { before })
    all.push(...page.invitations)
    before = page.next
  } while (before !== null)
  return all
}

function writeInvitation(out: Output, { id, purpose, name, by, expires, accept, state }: Listed): void {
  const whom = `${purpose} ${plain(name)}, by ${plain(by)}, until ${expires.slice(0, 16)}Z`
  const only = accept === null ? "" : `, for EK ${accept.ek.slice(0, 16)}… only`
  out.write(`  ${id}  ${state.padEnd(8)}  ${whom}${only}\n`)
}
