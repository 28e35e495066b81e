/**
 * How does this machine join a collector? It shows its keys and the invitation's token, opens the credential that only its
 * TPM can open, and keeps what the collector answered. What is kept: `enrolment.ts`.
 */
import type { Invitation } from "../attestation/protocol/invitation.ts"
import { type FromAttester, type ToAttester, writeMessage } from "../attestation/protocol/message.ts"
import { plainLine, toBase64, toHex } from "../attestation/wire/text.ts"
import type { Proxy } from "../channel/dial.ts"
import { openChannel } from "./channel.ts"
import type { Enrolment } from "./enrolment.ts"
import { Inbox } from "./inbox.ts"
import type { Broker } from "./record.ts"
import { Trouble } from "./trouble.ts"

export type EnrolParts = {
  readonly broker: Broker
  /** what people call this machine: a host name, a label */
  readonly label: string
  /** on the way to the collector */
  readonly proxy: Proxy | "none"
  /** milliseconds since 1970 */
  readonly now: () => number
}

/** Enrols with the invitation's collector. Throws Trouble, with what the collector said. */
export async function enrol(parts: EnrolParts, invitation: Invitation, signal: AbortSignal): Promise<Enrolment> {
  const { identity, ak } = await parts.broker.call("identity", {})
  const { socket, successor } = await openChannel({ ...invitation, proxy: parts.proxy }, signal)
  const inbox = new Inbox(socket)
  const stop = (): void => inbox.end(new Trouble("joining was stopped", ""))
  signal.addEventListener("abort", stop)
  const send = (message: FromAttester): void => socket.send(writeMessage(message))
  try {
    send({ type: "enrol", invitation: toBase64(invitation.token), identity, label: plainLine(parts.label, 253) })
    const { credential } = await expect(inbox, "credential")
    const { secret } = await parts.broker.call("activate", { credential })
    const { audit } = await parts.broker.call("audit", { secret })
    send({ type: "activated", secret, audit })
    const enrolled = await expect(inbox, "enrolled")
    if (enrolled.attester !== identity.attester)
      throw new Trouble("the collector enrolled another attester than this", "tell whoever runs it")
    const { host, port } = invitation
    const pin = successor === "none" ? invitation.pin : successor
    const joined = new Date(parts.now()).toISOString()
    const { attester, resultKey, audience } = enrolled
    return { host, port, pin: toHex(pin), attester, ak, resultKey, audience, joined }
  } finally {
    signal.removeEventListener("abort", stop)
    inbox.end(new Trouble("joining is over", ""))
  }
}

/** The same under a new AK. When it comes to nothing, the AK of before is back. */
export async function enrolAnew(parts: EnrolParts, invitation: Invitation, signal: AbortSignal): Promise<Enrolment> {
  await parts.broker.call("rotate", { to: "new" })
  try {
    return await enrol(parts, invitation, signal)
  } catch (error) {
    await parts.broker.call("rotate", { to: "previous" })
    throw error
  }
}

type Expected<T> = Extract<ToAttester, { type: T }>

async function expect<const T extends ToAttester["type"]>(inbox: Inbox, type: T): Promise<Expected<T>> {
  const message = await inbox.next()
  if (isOf(message, type)) return message
  const hint = "ask whoever runs the collector for a new invitation"
  if (message.type === "goodbye")
    throw new Trouble(`the collector does not let this machine in: ${message.reason}`, hint)
  if (message.type === "refused")
    throw new Trouble(
      `the collector does not let this machine in: ${message.findings.map(({ id }) => id).join(", ")}`,
      hint,
    )
  throw new Trouble(
    `the collector sends "${message.type}" in place of "${type}"`,
    "bring agent and collector to one version",
  )
}

const isOf = <const T extends ToAttester["type"]>(message: ToAttester, type: T): message is Expected<T> =>
  message.type === type
