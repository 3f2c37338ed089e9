import { createHash } from 'node:crypto';
import { readDocument } from '../config/document.js';
import { serviceFrameSchema } from '../config/service.js';
import type { CloseOutLimits } from './closeout-record.js';

/**
 * What a policy's text says of grants and approvals: a record states it, so that whoever verifies it needs no policy file.
 * @returns null for a text that is not of this version (its SHA-256), or that cannot be read any more
 */
export function limitsOf(version: string, text: string): CloseOutLimits | null {
  if (createHash('sha256').update(text).digest('hex') !== version) return null;
  const read = serviceFrameSchema.safeParse(readDocument(text).value);
  if (!read.success) return null;
  const { owner, grants, access } = read.data;
  return {
    owner,
    approvals: access?.approvals ?? null,
    preApproved: access?.pre_approved ?? [],
    breakGlassSeconds: access?.break_glass?.max_duration ?? null,
    maxDurationSeconds: grants.max_duration,
    maxRenewals: grants.max_renewals,
    maxTotalSeconds: grants.max_total ?? null,
  };
}
