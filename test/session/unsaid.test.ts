import t from 'tap';
import { SoughtSecret } from '../../src/config/secret.js';
import { Unsaid } from '../../src/session/unsaid.js';

t.test('D27: a secret that the end of a text cuts is cut out wherever it begins', async (t) => {
  const secret = 'xyxyxyxyxyxyQ1';
  const unsaid = Unsaid.of([new SoughtSecret('env TOKEN', [secret])]);
  for (let length = 6; length < secret.length; length += 1) {
    const begun = secret.slice(0, length);
    // What looks like its beginning may stand before it, or overlap with it.
    for (const before of ['said ', 'xyxyxyz ', 'xyxyxyx'])
      t.match(unsaid.text(before + begun), /\[redacted\]$/, `${before}${begun}`);
  }
  t.equal(unsaid.text('xyxyxyz'), 'xyxyxyz');
});
