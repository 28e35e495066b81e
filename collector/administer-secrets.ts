/** How is what an operator asks of secrets carried out: put, list, withdraw? Their release to a machine: `release.ts`. */
import { fromBase64 } from "../attestation/wire/text.ts"
import { CallFailed, type Handlers } from "../local/call.ts"
import type { Office } from "./administer.ts"
import type { SecretRow } from "./secret.ts"
import type { Store } from "./store.ts"
import type { CollectorVerbs } from "./verbs.ts"

type Handler = Handlers<CollectorVerbs>
type Answer<K extends keyof Handler> = Awaited<ReturnType<Handler[K]>>
type Request<K extends keyof Handler> = Parameters<Handler[K]>[0]
/** The attester that a text names. */
type Find = (text: string) => Promise<string>

export const administerSecrets = (
  office: Office,
  find: Find,
): Pick<Handler, "secret-put" | "secret-list" | "secret-withdraw"> => ({
  "secret-put": request => put(office, find, request),
  "secret-list": ({ skip }) => list(office, skip),
  "secret-withdraw": request => withdraw(office, find, request),
})

const pageLimit = 200
const instantOf = (time: number): string => new Date(time).toISOString()

async function put(office: Office, find: Find, request: Request<"secret-put">): Promise<Answer<"secret-put">> {
  const { store, safe, now, say } = office.parts
  const { name, tier, by, reason } = request
  const attester = await find(request.attester)
  if (await store.retirement(attester))
    throw new CallFailed("this attester was retired", "name one that is enrolled: assay attesters")
  const secret = { attester, name, tier, by, reason, at: now() }
  const replaced = await store.putSecret(secret, safe.seal(secret, fromBase64(request.secret)))
  say(`${by} put the secret ${name} for ${attester}, to be released when ${tier}: ${reason}`)
  return { attester, name, replaced }
}

async function list({ parts: { store } }: Office, skip: number): Promise<Answer<"secret-list">> {
  const all = await store.secrets()
  const secrets = await Promise.all(all.slice(skip, skip + pageLimit).map(each => shown(store, each)))
  return { secrets, next: skip + pageLimit < all.length ? skip + pageLimit : null }
}

const shown = async (store: Store, { at, last, ...rest }: SecretRow) => ({
  ...{ ...rest, label: (await store.enrolment(rest.attester))?.label ?? "" },
  ...{ at: instantOf(at), last: last === null ? null : instantOf(last) },
})

async function withdraw(
  office: Office,
  find: Find,
  { attester, name, by, reason }: Request<"secret-withdraw">,
): Promise<Answer<"secret-withdraw">> {
  const { store, now, say } = office.parts
  const whose = attester === null ? await onlyOwner(office, name) : await find(attester)
  if (!(await store.withdrawSecret(whose, name, { by, reason }, now())))
    throw new CallFailed("no secret of this name is kept for it", "list them with: assay secret list")
  say(`${by} withdrew the secret ${name} of ${whose}: ${reason}`)
  return { attester: whose, name }
}

async function onlyOwner({ parts: { store } }: Office, name: string): Promise<string> {
  const [one, another] = (await store.secrets()).filter(each => each.name === name)
  if (!one) throw new CallFailed("no secret of this name is kept", "list them with: assay secret list")
  if (another) throw new CallFailed("several machines have a secret of this name", "name the machine with --for")
  return one.attester
}
