/** How does a workstation get a secret that its collector keeps for it? Through the running agent, on an answer that is made now. */
import { randomBytes } from "node:crypto"
import { open, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { agentSocket, agentVerbs } from "../agent/verbs.ts"
import { secretName } from "../attestation/protocol/release.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { CallFailed, openCaller } from "../local/call.ts"
import { asJson, command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, text, wholeNumber } from "./given.ts"
import { type Output, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const secretGet = command({
  name: "secret get",
  says: "get a secret that the collector keeps for this machine",
  teaches:
    "Asks through the running agent. The collector challenges this machine because of that; what it answers is judged and kept like any answer, and " +
    "only if that verdict is good enough is the secret released, sealed for this TPM, after an entry in the vault. It is written to a file that " +
    "this user alone may read, or to stdout.",
  takes: [["<name>", "what it is called"]],
  options: [
    ["--out <file>", "where to write it, with mode 0600; - for stdout"],
    ["--deadline <seconds>", "how long to wait for the verdict (default: 900)"],
    configOf("agent"),
    asJson,
  ],
  examples: ["assay secret get disk-key --out /run/disk.key", "assay secret get api-token --out -"],
  exits: ["good", "failed", "misuse", "unacceptable", "missing", "later", "configuration"],
  reads: z.object({
    ...{ name: secretName, out: text, deadline: wholeNumber(1, 86_400).default(900) },
    ...{ config: text.optional(), json: flag },
  }),
  run: async ({ name, out, deadline, config, json }, terminal) => {
    if (json && out === "-")
      throw new Problem("misuse", "the secret and JSON cannot both go to stdout", "name a file: --out FILE")
    const { runtime } = await agentConfiguration(config)
    const place = out === "-" ? stdout(terminal.out) : await fileAt(out)
    const given = await askAgent(join(runtime, agentSocket), name, deadline * 1000)
      .then(answer => orProblem(answer))
      .catch(async error => {
        await place.discard()
        throw error
      })
    const secret = fromBase64(given.secret)
    await place.keep(secret)
    if (json) writeJsonLine(terminal, { secret: name, evidence: given.evidence, file: out, bytes: secret.length })
    else if (out !== "-") {
      row(terminal.out, "secret", `${name}, ${secret.length} bytes`)
      row(terminal.out, "evidence", given.evidence)
      row(terminal.out, "file", out)
    }
    return "good"
  },
})

async function askAgent(socket: string, name: string, deadline: number) {
  const agent = await openCaller(socket, agentVerbs, deadline).catch(notThere)
  try {
    return await agent.call("secret", { name })
  } catch (error) {
    if (!(error instanceof CallFailed) || !error.message.startsWith("the agent is not connected")) throw error
    throw new Problem("later", error.message, error.hint)
  } finally {
    agent.close()
  }
}

function notThere(error: unknown): never {
  if (error instanceof CallFailed) throw new Problem("missing", error.message, "start it with: assay agent")
  const code = error instanceof Error && "code" in error ? error.code : ""
  if (code !== "EACCES") throw error
  throw new Problem("failed", "you may not ask the agent", "join the group of its socket, or use sudo")
}

type Answer = z.infer<(typeof agentVerbs)["secret"]["answer"]>

function orProblem(answer: Answer): Answer & { readonly kind: "released" } {
  if (answer.kind === "released") return answer
  throw new Problem("unacceptable", `withheld: ${answer.reason}`, answer.hint)
}

/** Where a secret goes: known to be writable before anything is released. */
type Place = { keep(secret: Uint8Array): Promise<void>; discard(): Promise<void> }

const stdout = (out: Output): Place => ({ keep: async secret => out.write(secret), discard: async () => undefined })

/** A file that is there whole and for this user alone, or as it was; whatever link stood there is replaced, not followed. */
async function fileAt(path: string): Promise<Place> {
  const beside = `${path}.${randomBytes(4).toString("hex")}`
  const file = await open(beside, "wx", 0o600).catch((error: Error) => {
    const hint = "name a file in a folder that you may write to"
    throw new Problem("failed", `cannot write ${path}: ${error.message}`, hint)
  })
  const discard = async (): Promise<void> => {
    await file.close()
    await rm(beside, { force: true })
  }
  const keep = async (secret: Uint8Array): Promise<void> => {
    try {
      await file.writeFile(secret)
      await file.sync()
      await rename(beside, path)
      await file.close()
    } catch (error) {
      await discard()
      throw error
    }
  }
  return { keep, discard }
}
