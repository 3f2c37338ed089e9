import t from 'tap';
import { uuid7, uuid7Floor } from '../../src/recording/uuid7.js';

const NOW = Date.UTC(2026, 10, 27);

t.test('ids are sorted by time, and those of one millisecond by the order in which they were made', async (t) => {
  for (let round = 0; round < 100; round += 1) {
    const made = [...Array.from({ length: 50 }, () => uuid7(NOW + round)), uuid7(NOW + round + 1)];
    t.same(made, [...made].sort(), String(round));
  }
});

t.test(
  'an id has the version, the variant and the time of a UUIDv7, also when more are made than a counter holds',
  async (t) => {
    const made = new Set(Array.from({ length: 10_000 }, () => uuid7(NOW)));
    t.equal(made.size, 10_000, 'none comes twice');
    for (const id of made)
      if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) t.fail(id);
    const within = (id: string) => uuid7Floor(NOW) <= id && id < uuid7Floor(NOW + 1);
    t.ok([...made].every(within), 'in the partition of their time');
  },
);
