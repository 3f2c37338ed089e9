import { type Giver, Shares } from '../../src/gate/shares.js';

/** Room of which it is seen what takes it. */
export class SeenShares extends Shares {
  resting = 0;
  readonly givers = new Set<Giver>();

  override rests(giver: Giver): void {
    this.resting += 1;
    this.givers.add(giver);
    super.rests(giver);
  }

  override wakes(): void {
    this.resting -= 1;
    super.wakes();
  }

  override leave(giver: Giver): void {
    this.givers.delete(giver);
    super.leave(giver);
  }
}
