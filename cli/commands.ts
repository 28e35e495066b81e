/** Which commands are there? One row each, in the order in which a person meets them. */
import { agent } from "./agent.ts"
import { exportCommand } from "./archive.ts"
import { explain } from "./explain.ts"
import { attesters, retire } from "./attesters.ts"
import { keyCertify } from "./certify.ts"
import { auditCommand, auditVerify } from "./audit.ts"
import { challenge } from "./challenge.ts"
import { clear } from "./clear.ts"
import { collector } from "./collector.ts"
import type { Command } from "./command.ts"
import { doctor } from "./doctor.ts"
import { gaps, gapsPlan } from "./gaps.ts"
import { hash } from "./hash.ts"
import { invitations, invite, revoke } from "./invite.ts"
import { join, rotate } from "./join.ts"
import { keyNew, keyShow } from "./key.ts"
import { measure } from "./measure.ts"
import { metricsCommand } from "./metrics.ts"
import { modelAdd, modelCheck, modelShow } from "./model.ts"
import { policyExport } from "./notes.ts"
import { pinList, pinRollback } from "./pin-list.ts"
import { pinPropose } from "./pin-propose.ts"
import { approveOf, pinDiff, pinShow, publishOf } from "./pin.ts"
import { policyInit, policyPropose, policyShow } from "./policy.ts"
import { protectCommand } from "./protect.ts"
import { referenceRecord, referenceShow } from "./reference.ts"
import { rootsAdd, rootsList, rootsWithdraw } from "./roots.ts"
import { restored } from "./restored.ts"
import { run } from "./run.ts"
import { secretGet } from "./secret-get.ts"
import { secretList, secretPut, secretWithdraw } from "./secret.ts"
import { show } from "./show.ts"
import { status } from "./status.ts"
import { tlsRotate } from "./tls.ts"
import { vaultBackup, vaultCheck, vaultKeyCommand, vaultPrune, vaultRestore } from "./vault.ts"
import { verifyCommand } from "./verify.ts"
import { witnessCommand } from "./witness.ts"

export const commands: readonly Command[] = [
  doctor,
  collector,
  invite,
  revoke,
  invitations,
  rootsAdd,
  rootsList,
  rootsWithdraw,
  agent,
  join,
  rotate,
  status,
  metricsCommand,
  attesters,
  retire,
  challenge,
  explain,
  referenceRecord,
  referenceShow,
  clear,
  secretPut,
  secretList,
  secretWithdraw,
  secretGet,
  tlsRotate,
  restored,
  keyNew,
  keyShow,
  keyCertify,
  policyInit,
  policyShow,
  policyPropose,
  approveOf("policy"),
  publishOf("policy"),
  policyExport,
  pinPropose,
  pinShow,
  pinDiff,
  approveOf("pin"),
  publishOf("pin"),
  pinList,
  pinRollback,
  gaps,
  gapsPlan,
  exportCommand,
  measure,
  verifyCommand,
  show,
  hash,
  protectCommand,
  run,
  modelAdd,
  modelShow,
  modelCheck,
  vaultKeyCommand,
  vaultCheck,
  vaultPrune,
  vaultBackup,
  vaultRestore,
  witnessCommand,
  auditCommand,
  auditVerify,
]
