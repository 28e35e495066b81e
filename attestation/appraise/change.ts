/**
 * What would an approval change? In words, before anybody signs: each thing that comes, goes or differs, fact by fact where what was
 * measured is known; and each of the terms. Whether it is approved: `pins/lineage.ts`.
 */
import type { Material } from "../pins/force.ts"
import { keyOfLine, type Pin, type PinLine } from "../pins/pin.ts"
import { nameIn, type Policy, roles } from "../pins/policy.ts"
import { writeMoment } from "../pins/statement.ts"
import { differences } from "./compare.ts"

/** The most facts of one thing that are told. */
const told = 8

/** The changes from `before` to `after`, a line each. */
export function changesOf(before: Pin | undefined, after: Pin, material: Material, policy: Policy): string[] {
  return [
    ...lineChanges(before, after, material),
    ...judgedChanges(before, after),
    ...termChanges(before, after, policy),
  ]
}

function lineChanges(before: Pin | undefined, after: Pin, material: Material): string[] {
  const was = Map.groupBy(before?.lines ?? [], keyOfLine)
  const is = Map.groupBy(after.lines, keyOfLine)
  return [...new Set([...was.keys(), ...is.keys()])].flatMap(key =>
    changeOf(key, was.get(key) ?? [], is.get(key) ?? [], material),
  )
}

function changeOf(key: string, was: readonly PinLine[], is: readonly PinLine[], material: Material): string[] {
  const come = is.filter(({ digest }) => !was.some(each => each.digest === digest))
  const gone = was.filter(({ digest }) => !is.some(each => each.digest === digest))
  const [one] = come
  const [other] = gone
  if (one && other && come.length === 1 && gone.length === 1)
    return [`${key}: ${differing(other, one, material).join("; ")}`]
  return [
    ...gone.map(({ digest }) => `${key}: no longer sha256:${digest}`),
    ...come.map(({ digest }) => `${key}: new, sha256:${digest}`),
  ]
}

function differing(was: PinLine, is: PinLine, material: Material): string[] {
  const [before, after] = [material.get(was.digest), material.get(is.digest)]
  const whole = `sha256:${short(was.digest)} becomes sha256:${short(is.digest)}`
  if (!before || !after) return [whole]
  const facts = differences(after, before).map(
    ({ component, seen, wanted }) => `${factIn(component)} ${wanted} becomes ${seen}`,
  )
  return facts.length <= told
    ? [...facts, whole]
    : [...facts.slice(0, told), `and ${facts.length - told} more facts`, whole]
}

const short = (digest: string): string => `${digest.slice(0, 16)}…`
const factIn = (component: string): string => component.slice(component.lastIndexOf(": ") + 2)

function judgedChanges(before: Pin | undefined, after: Pin): string[] {
  const spelled = (pin: Pin | undefined): string[] => [
    ...(pin?.ignore ?? []).map(({ kind, subject }) => `${[kind, subject ?? ""].join(" ").trim()} is not judged`),
    ...(pin?.except ?? []).map(({ kind, fact }) => `the fact ${fact} of ${kind} is not judged`),
  ]
  const [was, is] = [spelled(before), spelled(after)]
  return [
    ...is.filter(each => !was.includes(each)),
    ...was.filter(each => !is.includes(each)).map(each => each.replace("is not judged", "is judged again")),
  ]
}

function termChanges(before: Pin | undefined, after: Pin, policy: Policy): string[] {
  const until = after.admitsPreviousUntil
  return [
    ...roles
      .filter(role => before?.owners[role] !== after.owners[role])
      .map(role => `${nameIn(policy, after.owners[role])} answers for ${role}`),
    `effective ${writeMoment(after.effective)}, expires ${writeMoment(after.expires)}`,
    until === null
      ? "what was before is not admitted any more"
      : `what was before is admitted until ${writeMoment(until)}`,
    after.rollback ? `may be rolled back to version ${after.rollback.version}` : "names no rollback target",
    after.regression === null
      ? "names no report of what it was tested with"
      : `tested: report sha256:${short(after.regression)}`,
  ]
}
