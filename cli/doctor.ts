/**
 * Would the agent work on this machine, and if not, what is missing? Each check is asked of the real thing: the device, the
 * library, the socket, the collector's port. Nothing is changed.
 */
import { hintOf } from "../attestation/wire/hinted.ts"
import { constants } from "node:fs"
import { access, stat, statfs } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { readEnrolment } from "../agent/enrolment.ts"
import type { Configuration } from "../agent/config.ts"
import { agentSocket, agentVerbs } from "../agent/verbs.ts"
import { CallFailed, openCaller } from "../local/call.ts"
import { findings } from "../attestation/verify/finding.ts"
import { fromHex } from "../attestation/wire/text.ts"
import { bad, type Check, ok, type Verdict } from "./check.ts"
import { asJson, command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { installationOf, interpreter } from "./installation.ts"
import { size } from "./progress.ts"
import { connectPinned } from "./relay.ts"
import { type Look, plain, type Terminal, wrapped, writeJsonLine } from "./terminal.ts"

export const doctor = command({
  name: "doctor",
  says: "check whether this machine has what the agent needs",
  teaches:
    "Checks Node, configuration, TPM, agent, room on the disk, enrolment, collector and clock, and says of each what to do. Where the package is " +
    "installed, also its files, its units, the TPM's bank, IMA and fs-verity.",
  takes: [],
  options: [configOf("agent"), asJson],
  examples: ["assay doctor"],
  exits: ["good", "failed", "misuse", "missing"],
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const checks = await examine(config)
    if (json) writeJsonLine(terminal, { checks })
    else for (const each of checks) writeCheck(terminal, each)
    return exitOf(checks)
  },
})

function exitOf(checks: readonly Check[]): Exit {
  if (checks.some(each => each.verdict === "missing")) return "missing"
  return checks.some(each => each.verdict === "problem") ? "failed" : "good"
}

async function examine(config: string | undefined): Promise<Check[]> {
  const configuration = await agentConfiguration(config).catch((error: unknown) => {
    if (error instanceof Problem) return bad("configuration", "problem", error.message, error.hint)
    throw error
  })
  if ("verdict" in configuration) return [node(), configuration]
  return [
    node(),
    ok("configuration", config ?? "as found, or its defaults"),
    ...(installed() ? await installationOf("/", configuration.weights) : []),
    ...(await weightsOf(configuration)),
    ...(await tpmOf(configuration)),
    await agentOf(configuration),
    ...(await roomFor(configuration)),
    ...(await collectorOf(configuration)),
    clock(),
  ]
}

const installed = (): boolean => process.execPath === interpreter

function node(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  const recent = major > 24 || (major === 24 && minor >= 15)
  if (recent) return ok("node", process.version)
  return bad("node", "problem", `${process.version} is too old`, "run sh scripts/setup.sh, or install Node.js 24")
}

async function weightsOf({ weights }: Configuration): Promise<Check[]> {
  if (weights.length === 0)
    return [bad("weights", "note", "none are named", "name them in agent.toml under [[weights]]")]
  return Promise.all(weights.map(each => readable(`weights ${each.name}`, each.path)))
}

async function readable(what: string, path: string): Promise<Check> {
  try {
    await access(path, constants.R_OK)
    return ok(what, path)
  } catch (error) {
    const absent = error instanceof Error && "code" in error && error.code === "ENOENT"
    if (absent) return bad(what, "missing", `${path} does not exist`, "correct the path in agent.toml")
    return bad(what, "problem", `${path} may not be read`, "give the agent's user the right to read it")
  }
}

/** Whoever serves the TPM is asked; only where nobody does is it opened here. */
async function tpmOf({ runtime, tpm }: Configuration): Promise<Check[]> {
  const socket = tpm.broker === "own" ? join(runtime, "broker.sock") : tpm.broker
  if (await answers(socket)) return [ok("broker", `answers at ${socket}`)]
  const device = /^device:(.*)$/.exec(tpm.tcti)?.[1]
  const found = device === undefined ? undefined : await deviceOf(device)
  if (tpm.broker !== "own")
    return [
      ...(await systemTpm()),
      bad("broker", "missing", `nothing answers at ${socket}`, "start its unit: systemctl start assay-broker.socket"),
    ]
  return [found ?? (await opened(tpm))]
}

/** A broker that the system starts opens this device; where it is, somebody else's mistake keeps it from answering. */
async function systemTpm(): Promise<Check[]> {
  const found = await deviceOf("/dev/tpmrm0")
  return found?.verdict === "missing" ? [found] : []
}

const answers = (socket: string): Promise<boolean> =>
  openCaller(socket, {}, 1000).then(
    caller => {
      caller.close()
      return true
    },
    () => false,
  )

async function deviceOf(path: string): Promise<Check | undefined> {
  const there = await stat(path).then(
    found => found.isCharacterDevice(),
    () => false,
  )
  if (!there)
    return bad(
      "tpm",
      "missing",
      `${path} does not exist`,
      "switch the TPM on in the firmware's settings (fTPM, PTT), or look at dmesg for tpm",
    )
  try {
    await access(path, constants.R_OK | constants.W_OK)
    return undefined
  } catch {
    return bad(
      "tpm",
      "problem",
      `${path} may not be opened by this user`,
      "add the user to the group tss, and log in again",
    )
  }
}

/** Native code is loaded here and for no other check. */
async function opened({ tcti, software, deadline }: Configuration["tpm"]): Promise<Check> {
  const { openTpm, TpmError } = await import("../node-tpm2/index.ts")
  try {
    const tpm = await openTpm(tcti, { allowSoftware: software, deadline: deadline * 1000 })
    await tpm.close()
    return ok("tpm", tcti)
  } catch (error) {
    if (!(error instanceof TpmError)) throw error
    return bad("tpm", "problem", error.message, error.hint)
  }
}

async function agentOf({ runtime }: Configuration): Promise<Check> {
  const socket = join(runtime, agentSocket)
  try {
    const caller = await openCaller(socket, agentVerbs, 5000)
    const { connection, evidence, refused } = await caller.call("status", {}).finally(() => caller.close())
    if (refused !== null && refused.evidence === evidence?.digest) return refusalOf(refused.findings)
    if (connection.state === "waiting")
      return bad("agent", "problem", `waits: ${connection.problem}`, "see the collector's check")
    return ok("agent", `runs, ${connection.state}`)
  } catch (error) {
    if (error instanceof CallFailed)
      return bad(
        "agent",
        "note",
        "does not run",
        installed() ? "start it: systemctl start assay-agent" : "start it: assay agent",
      )
    return bad(
      "agent",
      "problem",
      error instanceof Error ? error.message : String(error),
      "ask as the agent's user, or use sudo",
    )
  }
}

/** Bytes that the log of an epoch and some evidence need. */
const roomWanted = 64 * 2 ** 20

/** Without room nothing can be recorded, and so nothing is attested. */
async function roomFor({ state }: Configuration): Promise<Check[]> {
  const found = await statfs(state).catch(() => undefined)
  if (found === undefined) return []
  const free = found.bavail * found.bsize
  const says = `${size(free)} free at ${state}`
  return [free >= roomWanted ? ok("room", says) : bad("room", "problem", says, "make room on the disk that holds it")]
}

/** The last evidence was refused: what the verifier found, with the fix that its own table names. */
function refusalOf(found: readonly string[]): Check {
  const known = Object.entries(findings).find(([id]) => found.includes(id))
  const fix = known?.[1].fix ?? "bring agent and collector to one version"
  return bad("agent", "problem", `its last evidence was refused: ${found.join(", ")}`, fix)
}

async function collectorOf({ state, proxy }: Configuration): Promise<Check[]> {
  try {
    const enrolment = await readEnrolment(state)
    if (enrolment === "none")
      return [bad("collector", "note", "this machine has joined none", "ask for an invitation, then: assay join")]
    const { host, port, pin } = enrolment
    const socket = await connectPinned({ host, port, pin: fromHex(pin), proxy }, 5000)
    socket.destroy()
    return [ok("collector", `${host}:${port} answers with the pinned key`)]
  } catch (error) {
    const hint = hintOf(error) || "run this as the agent's user, or use sudo"
    return [bad("collector", "problem", error instanceof Error ? error.message : String(error), hint)]
  }
}

/** Before this project there was no evidence; a clock that says so makes every `made` wrong. */
const epoch = Date.parse("2026-01-01T00:00:00Z")

function clock(): Check {
  if (Date.now() >= epoch) return ok("clock", new Date().toISOString())
  return bad("clock", "problem", `it is ${new Date().toISOString()} here`, "set the clock (NTP)")
}

const marks: Readonly<Record<Verdict, readonly [mark: string, look: Look]>> = {
  ok: ["✓", "good"],
  problem: ["✗", "bad"],
  missing: ["✗", "bad"],
  note: ["!", "doubtful"],
}

function writeCheck({ out }: Terminal, { what, verdict, says, fix }: Check): void {
  const [mark, look] = marks[verdict]
  out.write(`  ${out.style(look, mark)} ${plain(what, 40).padEnd(14)} ${wrapped(plain(says), out.width - 20, 19)}\n`)
  if (fix !== "") out.write(`${" ".repeat(19)}${out.style("strong", "→")} ${wrapped(plain(fix), out.width - 22, 21)}\n`)
}
