import { encode } from 'uqr';

export interface Qr {
  /** Modules per side, quiet zone included. */
  size: number;
  /** One path of all dark modules, a unit square each, joined along the row. */
  path: string;
}

export function qr(text: string): Qr {
  const { data, size } = encode(text, { border: 2, ecc: 'M' });
  let path = '';
  data.forEach((row, y) => {
    for (let x = 0; x < row.length; x++) {
      if (!row[x]) continue;
      let end = x;
      while (row[end + 1]) end++;
      path += `M${x} ${y}h${end - x + 1}v1H${x}z`;
      x = end;
    }
  });
  return { size, path };
}
