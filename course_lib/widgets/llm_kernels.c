/*
 * Les calculs d’un décodeur de type Llama, en WebAssembly SIMD : quatre nombres flottants ou huit
 * entiers courts à la fois. Les poids restent tels que le fichier GGUF les range.
 *
 * Un produit W·x en trois temps :
 *   1. `quantize` range x par blocs de 32 : des entiers de 16 bits et une échelle ;
 *   2. `unpack_…` déplie une ligne de W en entiers de 16 bits q, et par bloc de 32 une échelle d et
 *      un décalage m : w = d·q + m (q porte déjà l’échelle entière de son sous-bloc) ;
 *   3. `dot_row` fait Σ d·dx·(q·qx) + m·Σx ; seule la somme q·qx se fait en entiers, et elle est exacte :
 *      |q| ≤ 4096 (Q6_K), |qx| ≤ 32767, huit produits par somme partielle : moins de 2³¹.
 * Une ligne dépliée sert à toutes les positions lues ensemble ; pour une seule, `dot_super` se passe de l’écrire.
 *
 * Refaire : python -m course_lib.widgets.kernels
 */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
#define UNROLL _Pragma("clang loop unroll(full)")
#define INLINE static inline __attribute__((always_inline))

enum { F32 = 0, F16 = 1, Q8_0 = 8, Q3_K = 11, Q4_K = 12, Q6_K = 14, IQ4_XS = 23 }; /* les codes de GGUF */
enum { GROUP = 32, SUPER = 256, MOST_COLUMNS = 16384, TILE = 4 };

/* Une ligne de poids dépliée. */
static int16_t levels[MOST_COLUMNS];
static float steps[MOST_COLUMNS / GROUP], shifts[MOST_COLUMNS / GROUP];

/* --- Nombres ---------------------------------------------------------------------------------- */

/* Quatre demi-flottants : l’exposant se recale ; sous 2⁻¹⁴ la mantisse compte des 2⁻²⁴, le dernier bit de 0,5. */
INLINE v128_t widen(v128_t half) {
  v128_t sign = wasm_i32x4_shl(wasm_v128_and(half, wasm_i32x4_splat(0x8000)), 16);
  v128_t rest = wasm_v128_and(half, wasm_i32x4_splat(0x7fff));
  v128_t usual = wasm_i32x4_add(wasm_i32x4_shl(rest, 13), wasm_i32x4_splat(112 << 23));
  v128_t small = wasm_f32x4_sub(wasm_v128_or(rest, wasm_f32x4_splat(0.5f)), wasm_f32x4_splat(0.5f));
  return wasm_v128_or(wasm_v128_bitselect(usual, small, wasm_i32x4_gt(rest, wasm_i32x4_splat(0x3ff))), sign);
}

INLINE float read_half(const uint8_t *p) {
  return wasm_f32x4_extract_lane(widen(wasm_i32x4_splat(p[0] | p[1] << 8)), 0);
}

INLINE float sum(v128_t v) {
  v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}

INLINE v128_t multiply_add(v128_t total, v128_t a, v128_t b) { return wasm_f32x4_add(total, wasm_f32x4_mul(a, b)); }

/* e^x à un ou deux derniers bits près : x = n·ln 2 + r, un polynôme de Taylor pour e^r, puis 2^n. */
INLINE v128_t exponential(v128_t x) {
  x = wasm_f32x4_min(wasm_f32x4_max(x, wasm_f32x4_splat(-87)), wasm_f32x4_splat(88));
  v128_t n = wasm_f32x4_nearest(wasm_f32x4_mul(x, wasm_f32x4_splat(1.44269504f)));
  v128_t r = multiply_add(x, n, wasm_f32x4_splat(-0.693359375f)); /* ln 2 en deux morceaux */
  r = multiply_add(r, n, wasm_f32x4_splat(2.12194440e-4f));
  v128_t y = wasm_f32x4_splat(1.f / 5040);
  const float terms[] = {1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 0.5f, 1, 1};
  for (int i = 0; i < 7; i += 1) y = multiply_add(wasm_f32x4_splat(terms[i]), y, r);
  v128_t power = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
  return wasm_f32x4_mul(y, power);
}

/* --- Formats de blocs (ggml-common.h) ---------------------------------------------------------- */

/* Ces bits de chaque octet. Un décalage par mots de 16 bits suffit avant : le masque ôte ce qui déborde. */
INLINE v128_t mask(v128_t bytes, int bits) { return wasm_v128_and(bytes, wasm_i8x16_splat(bits)); }

/*
 * Les formats en K : un super-bloc de 256 niveaux, en seize suites de 16.
 *   Q3_K  32 octets de troisièmes bits (à l’envers) ; 64 de quatre niveaux ; 16 échelles de 6 bits ; d
 *   Q4_K  d, dmin ; 8 échelles et 8 minimums de 6 bits sur 12 octets ; 128 octets de deux niveaux
 *   Q6_K  128 octets de deux moitiés basses ; 64 de quatre moitiés hautes ; 16 échelles de 8 bits ; d
 *   IQ4_XS  d ; 8 échelles de 6 bits sur 2 + 4 octets ; 128 octets de deux rangs dans une table de 16 niveaux
 */
INLINE int super_bytes(int type) { return type == Q3_K ? 110 : type == Q4_K ? 144 : type == Q6_K ? 210 : 136; }

INLINE float super_step(int type, const uint8_t *w) { return read_half(w + (type == Q3_K ? 108 : type == Q6_K ? 208 : 0)); }

/* Une échelle par groupe de 32, et non par suite de 16. */
INLINE int grouped(int type) { return type == Q4_K || type == IQ4_XS; }

/* La suite g d’un super-bloc : seize niveaux signés, d’un octet. */
INLINE v128_t run(int type, const uint8_t *w, int g) {
  int half = g & 1, pair = g >> 1 & 3, part = g >> 3; /* moitié d’un groupe de 32, groupe, moitié du super-bloc */
  if (type == Q4_K) return mask(wasm_u16x8_shr(wasm_v128_load(w + 16 + 32 * (g >> 2) + 16 * half), 4 * (pair & 1)), 15);
  if (type == Q3_K) {
    v128_t low = mask(wasm_u16x8_shr(wasm_v128_load(w + 32 + 32 * part + 16 * half), 2 * pair), 3);
    v128_t third = wasm_v128_load(w + 16 * half); /* son bit g / 2 : ce niveau n’ôte pas 4 */
    third = mask(g >> 1 < 2 ? wasm_i16x8_shl(third, 2 - (g >> 1)) : wasm_u16x8_shr(third, (g >> 1) - 2), 4);
    return wasm_i8x16_sub(wasm_v128_or(low, third), wasm_i8x16_splat(4));
  }
  if (type == IQ4_XS) {
    const v128_t table = wasm_i8x16_const(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    return wasm_i8x16_swizzle(table, mask(wasm_u16x8_shr(wasm_v128_load(w + 8 + 16 * (g >> 1)), 4 * half), 15));
  }
  v128_t low = wasm_v128_load(w + 64 * part + 32 * (pair & 1) + 16 * half);
  v128_t high = wasm_v128_load(w + 128 + 32 * part + 16 * half);
  high = mask(pair < 2 ? wasm_i16x8_shl(high, 4 - 2 * pair) : wasm_u16x8_shr(high, 2 * pair - 4), 48);
  return wasm_i8x16_sub(wasm_v128_or(mask(wasm_u16x8_shr(low, 4 * (pair >> 1)), 15), high), wasm_i8x16_splat(32));
}

/* Les échelles signées, d’un octet : des seize suites ; ou des huit groupes, puis, en Q4_K, leurs minimums. */
INLINE v128_t run_scales(int type, const uint8_t *w) {
  const uint32_t *packed = (const uint32_t *)(w + (type == Q3_K ? 96 : 4));
  const uint32_t low = 0x0f0f0f0f, six = 0x3f3f3f3f, high = 0x30303030;
  if (type == Q6_K) return wasm_v128_load(w + 192);
  if (type == Q4_K)
    return wasm_u32x4_make(packed[0] & six, (packed[2] & low) | (packed[0] >> 2 & high), packed[1] & six,
                           (packed[2] >> 4 & low) | (packed[1] >> 2 & high));
  if (type == IQ4_XS) {
    uint32_t tops = w[2] | w[3] << 8; /* deux bits par groupe : on en met deux par octet, quatre bits à part */
    tops = (tops | tops << 8) & 0x00ff00ff, tops = (tops | tops << 4) & low, tops = (tops | tops << 2) & 0x33333333;
    v128_t even = wasm_i32x4_splat((packed[0] & low) | (tops << 4 & high));
    v128_t odd = wasm_i32x4_splat((packed[0] >> 4 & low) | (tops & high));
    return wasm_i8x16_sub(wasm_i8x16_shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 0, 0, 0, 0, 0, 0, 0, 0), wasm_i8x16_splat(32));
  }
  v128_t scales = wasm_u32x4_make((packed[0] & low) | (packed[2] << 4 & high), (packed[1] & low) | (packed[2] << 2 & high),
                                  (packed[0] >> 4 & low) | (packed[2] & high), (packed[1] >> 4 & low) | (packed[2] >> 2 & high));
  return wasm_i8x16_sub(scales, wasm_i8x16_splat(32));
}

/* Écrit seize niveaux, chacun multiplié par `scale`. */
INLINE void put(int16_t *to, v128_t bytes, int scale) {
  v128_t s = wasm_i16x8_splat(scale);
  wasm_v128_store(to, wasm_i16x8_mul(wasm_i16x8_extend_low_i8x16(bytes), s));
  wasm_v128_store(to + 8, wasm_i16x8_mul(wasm_i16x8_extend_high_i8x16(bytes), s));
}

/* Déplie le super-bloc b d’une ligne. */
INLINE void unpack_super(int type, const uint8_t *w, int b) {
  int8_t scales[16];
  float d = super_step(type, w), dmin = type == Q4_K ? -read_half(w + 2) : 0;
  wasm_v128_store(scales, run_scales(type, w));
  for (int g = 0; g < 8; g += 1) steps[8 * b + g] = d, shifts[8 * b + g] = type == Q4_K ? dmin * scales[8 + g] : 0;
  UNROLL for (int g = 0; g < 16; g += 1) put(levels + SUPER * b + 16 * g, run(type, w, g), scales[grouped(type) ? g >> 1 : g]);
}

/* Q8_0 : d, puis 32 niveaux de 8 bits. */
INLINE void unpack_q8_0(const uint8_t *w, int b) {
  steps[b] = read_half(w), shifts[b] = 0;
  put(levels + GROUP * b, wasm_v128_load(w + 2), 1);
  put(levels + GROUP * b + 16, wasm_v128_load(w + 18), 1);
}

INLINE int row_bytes(int type, int columns) {
  if (type == F32) return 4 * columns;
  if (type == F16) return 2 * columns;
  return type == Q8_0 ? columns / GROUP * 34 : columns / SUPER * super_bytes(type);
}

INLINE void unpack(int type, const uint8_t *w, int columns) {
  if (type == Q8_0)
    for (int b = 0; b < columns / GROUP; b += 1) unpack_q8_0(w + 34 * b, b);
  else
    for (int b = 0; b < columns / SUPER; b += 1) unpack_super(type, w + super_bytes(type) * b, b);
}

/* Quatre poids flottants, les `j`-ièmes d’une ligne F32 ou F16. */
INLINE v128_t floats(int type, const uint8_t *w, int j) {
  return type == F32 ? wasm_v128_load(w + 4 * j) : widen(wasm_u32x4_load16x4(w + 2 * j));
}

/* Une ligne de poids en nombres flottants : l’embedding d’un jeton. */
void EXPORT(dequantize)(int type, const uint8_t *w, int columns, float *y) {
  if (type <= F16) {
    for (int j = 0; j < columns; j += 4) wasm_v128_store(y + j, floats(type, w, j));
    return;
  }
  unpack(type, w, columns);
  for (int j = 0; j < columns; j += 1) y[j] = steps[j / GROUP] * levels[j] + shifts[j / GROUP];
}

/* --- Produits ---------------------------------------------------------------------------------- */

/* Un vecteur de `columns` nombres, rangé : les entiers, puis pour chaque groupe l’échelle, puis la somme. */
INLINE int packed_bytes(int columns) { return 2 * columns + columns / GROUP * 8; }

/* Range `count` vecteurs ; le plus grand nombre d’un groupe de 32 y vaut ±32767. */
void EXPORT(quantize)(const float *x, int columns, int count, uint8_t *packed) {
  for (int n = 0; n < count; n += 1, packed += packed_bytes(columns)) {
    int16_t *q = (int16_t *)packed;
    float *scales = (float *)(packed + 2 * columns), *sums = scales + columns / GROUP;
    for (int g = 0; g < columns / GROUP; g += 1, x += GROUP, q += GROUP) {
      v128_t most = wasm_f32x4_splat(0), total = wasm_f32x4_splat(0);
      for (int j = 0; j < GROUP; j += 4) {
        v128_t v = wasm_v128_load(x + j);
        most = wasm_f32x4_max(most, wasm_f32x4_abs(v)), total = wasm_f32x4_add(total, v);
      }
      most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 2, 3, 0, 1));
      most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
      float largest = wasm_f32x4_extract_lane(most, 0);
      v128_t inverse = wasm_f32x4_splat(largest > 1e-30f ? 32767 / largest : 0);
      for (int j = 0; j < GROUP; j += 8) {
        v128_t a = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x + j), inverse));
        v128_t b = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x + j + 4), inverse));
        a = wasm_i32x4_trunc_sat_f32x4(a), b = wasm_i32x4_trunc_sat_f32x4(b);
        wasm_v128_store(q + j, wasm_i16x8_narrow_i32x4(a, b));
      }
      scales[g] = largest / 32767, sums[g] = sum(total);
    }
  }
}

/* La ligne dépliée par `tile` vecteurs rangés à la suite ; y va d’un vecteur à l’autre par `rows`. */
INLINE void dot_row(const uint8_t *packed, int columns, int tile, int shifted, float *y, int rows) {
  v128_t totals[TILE];
  for (int t = 0; t < tile; t += 1) totals[t] = wasm_f32x4_splat(0);
  for (int g = 0; g < columns / GROUP; g += 1) {
    v128_t w[4];
    for (int k = 0; k < 4; k += 1) w[k] = wasm_v128_load(levels + GROUP * g + 8 * k);
    for (int t = 0; t < tile; t += 1) {
      const uint8_t *one = packed + t * packed_bytes(columns);
      const int16_t *q = (const int16_t *)one + GROUP * g;
      v128_t whole = wasm_i32x4_dot_i16x8(w[0], wasm_v128_load(q));
      for (int k = 1; k < 4; k += 1) whole = wasm_i32x4_add(whole, wasm_i32x4_dot_i16x8(w[k], wasm_v128_load(q + 8 * k)));
      float scale = steps[g] * ((const float *)(one + 2 * columns))[g];
      totals[t] = multiply_add(totals[t], wasm_f32x4_convert_i32x4(whole), wasm_f32x4_splat(scale));
    }
  }
  for (int t = 0; t < tile; t += 1) {
    const float *sums = (const float *)(packed + t * packed_bytes(columns) + 2 * columns) + columns / GROUP;
    if (shifted)
      for (int g = 0; g < columns / GROUP; g += 4)
        totals[t] = multiply_add(totals[t], wasm_v128_load(shifts + g), wasm_v128_load(sums + g));
    y[t * rows] = sum(totals[t]);
  }
}

/* Seize niveaux par seize entiers : quatre sommes. */
INLINE v128_t dot_run(v128_t bytes, const int16_t *q) {
  v128_t low = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(bytes), wasm_v128_load(q));
  return wasm_i32x4_add(low, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(bytes), wasm_v128_load(q + 8)));
}

/* Quatre des seize octets, les k-ièmes, en nombres flottants. */
INLINE v128_t quarter(v128_t bytes, int k) {
  v128_t words = k < 2 ? wasm_i16x8_extend_low_i8x16(bytes) : wasm_i16x8_extend_high_i8x16(bytes);
  return wasm_f32x4_convert_i32x4(k & 1 ? wasm_i32x4_extend_high_i16x8(words) : wasm_i32x4_extend_low_i16x8(words));
}

/* Une ligne par un seul vecteur : on la lit sans l’écrire dépliée. */
INLINE float dot_super(int type, const uint8_t *w, int columns, const uint8_t *packed) {
  const int16_t *q = (const int16_t *)packed;
  const float *scales = (const float *)(packed + 2 * columns), *sums = scales + columns / GROUP;
  v128_t even = wasm_f32x4_splat(0), odd = wasm_f32x4_splat(0);
  for (int b = 0; b < columns / SUPER; b += 1, w += super_bytes(type), q += SUPER, scales += 8, sums += 8) {
    float factors[16]; /* d × échelle de la suite × échelle du vecteur */
    v128_t bytes = run_scales(type, w), d = wasm_f32x4_splat(super_step(type, w));
    v128_t x[2] = {wasm_f32x4_mul(d, wasm_v128_load(scales)), wasm_f32x4_mul(d, wasm_v128_load(scales + 4))};
    if (grouped(type)) {
      v128_t dmin = wasm_f32x4_splat(-read_half(w + 2));
      for (int k = 0; k < 2; k += 1) {
        wasm_v128_store(factors + 4 * k, wasm_f32x4_mul(quarter(bytes, k), x[k]));
        if (type == Q4_K) odd = multiply_add(odd, wasm_f32x4_mul(quarter(bytes, 2 + k), dmin), wasm_v128_load(sums + 4 * k));
      }
    } else {
      for (int k = 0; k < 4; k += 1) {
        v128_t y = x[k >> 1], twice = k & 1 ? wasm_i32x4_shuffle(y, y, 2, 2, 3, 3) : wasm_i32x4_shuffle(y, y, 0, 0, 1, 1);
        wasm_v128_store(factors + 4 * k, wasm_f32x4_mul(quarter(bytes, k), twice));
      }
    }
    UNROLL for (int g = 0; g < 16; g += 2) {
      v128_t first = dot_run(run(type, w, g), q + 16 * g), second = dot_run(run(type, w, g + 1), q + 16 * g + 16);
      if (grouped(type)) {
        v128_t whole = wasm_f32x4_convert_i32x4(wasm_i32x4_add(first, second));
        even = multiply_add(even, whole, wasm_v128_load32_splat(factors + (g >> 1)));
      } else {
        even = multiply_add(even, wasm_f32x4_convert_i32x4(first), wasm_v128_load32_splat(factors + g));
        odd = multiply_add(odd, wasm_f32x4_convert_i32x4(second), wasm_v128_load32_splat(factors + g + 1));
      }
    }
  }
  return sum(wasm_f32x4_add(even, odd));
}

INLINE float dot_q8_0(const uint8_t *w, int columns, const uint8_t *packed) {
  const int16_t *q = (const int16_t *)packed;
  const float *scales = (const float *)(packed + 2 * columns);
  v128_t total = wasm_f32x4_splat(0);
  for (int b = 0; b < columns / GROUP; b += 1, w += 34, q += GROUP) {
    v128_t whole = wasm_i32x4_add(dot_run(wasm_v128_load(w + 2), q), dot_run(wasm_v128_load(w + 18), q + 16));
    total = multiply_add(total, wasm_f32x4_convert_i32x4(whole), wasm_f32x4_splat(read_half(w) * scales[b]));
  }
  return sum(total);
}

INLINE void multiply_packed(int type, const uint8_t *w, int rows, int columns, int count, const uint8_t *packed, float *y) {
  int size = packed_bytes(columns);
  for (int row = 0; row < rows; row += 1, w += row_bytes(type, columns)) {
    if (count == 1) {
      y[row] = type == Q8_0 ? dot_q8_0(w, columns, packed) : dot_super(type, w, columns, packed);
      continue;
    }
    unpack(type, w, columns);
    int n = 0;
    for (; n + TILE <= count; n += TILE) dot_row(packed + n * size, columns, TILE, type == Q4_K, y + n * rows + row, rows);
    for (; n < count; n += 1) dot_row(packed + n * size, columns, 1, type == Q4_K, y + n * rows + row, rows);
  }
}

INLINE void multiply_floats(int type, const uint8_t *w, int rows, int columns, int count, const float *x, float *y) {
  for (int row = 0; row < rows; row += 1, w += row_bytes(type, columns)) {
    for (int n = 0; n < count; n += 1) {
      v128_t total = wasm_f32x4_splat(0);
      for (int j = 0; j < columns; j += 4)
        total = multiply_add(total, floats(type, w, j), wasm_v128_load(x + n * columns + j));
      y[n * rows + row] = sum(total);
    }
  }
}

/* Y = X Wᵀ : x (count, columns), en flottants et rangé ; w (rows, columns) ; y (count, rows). */
void EXPORT(multiply)(int type, const uint8_t *w, int rows, int columns, int count, const float *x, const uint8_t *packed, float *y) {
  switch (type) {
    case F32: return multiply_floats(F32, w, rows, columns, count, x, y);
    case F16: return multiply_floats(F16, w, rows, columns, count, x, y);
    case Q8_0: return multiply_packed(Q8_0, w, rows, columns, count, packed, y);
    case Q3_K: return multiply_packed(Q3_K, w, rows, columns, count, packed, y);
    case Q4_K: return multiply_packed(Q4_K, w, rows, columns, count, packed, y);
    case IQ4_XS: return multiply_packed(IQ4_XS, w, rows, columns, count, packed, y);
    default: return multiply_packed(Q6_K, w, rows, columns, count, packed, y);
  }
}

/* --- Le reste d’un bloc ------------------------------------------------------------------------- */

/* x += y */
void EXPORT(add)(float *x, const float *y, int count) {
  for (int i = 0; i < count; i += 4) wasm_v128_store(x + i, wasm_f32x4_add(wasm_v128_load(x + i), wasm_v128_load(y + i)));
}

/* RMSNorm de chaque ligne de x (count, width). */
void EXPORT(normalize)(const float *x, const float *gain, float epsilon, int width, int count, float *y) {
  for (int n = 0; n < count; n += 1, x += width, y += width) {
    v128_t squares = wasm_f32x4_splat(0);
    for (int i = 0; i < width; i += 4) squares = multiply_add(squares, wasm_v128_load(x + i), wasm_v128_load(x + i));
    v128_t scale = wasm_f32x4_splat(1 / __builtin_sqrtf(sum(squares) / width + epsilon));
    for (int i = 0; i < width; i += 4)
      wasm_v128_store(y + i, wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(x + i), scale), wasm_v128_load(gain + i)));
  }
}

/* SwiGLU : gate = silu(gate) × up */
void EXPORT(gated)(float *gate, const float *up, int count) {
  for (int i = 0; i < count; i += 4) {
    v128_t g = wasm_v128_load(gate + i);
    v128_t below = wasm_f32x4_add(wasm_f32x4_splat(1), exponential(wasm_f32x4_neg(g)));
    wasm_v128_store(gate + i, wasm_f32x4_mul(wasm_f32x4_div(g, below), wasm_v128_load(up + i)));
  }
}

/*
 * Positions rotatives : chaque paire (2i, 2i + 1) d’une tête tourne, à la manière des GGUF.
 * x (count, heads, width) ; cosines et sines (count, width), le sinus de signe − à la place 2i ; y : sa
 * tête h, position n, va en h × stride + n × width.
 */
void EXPORT(rotate)(const float *x, const float *cosines, const float *sines, int heads, int width, int count, int stride, float *y) {
  for (int n = 0; n < count; n += 1)
    for (int h = 0; h < heads; h += 1, x += width)
      for (int i = 0; i < width; i += 4) {
        v128_t v = wasm_v128_load(x + i), swapped = wasm_i32x4_shuffle(v, v, 1, 0, 3, 2);
        v128_t turned = wasm_f32x4_mul(v, wasm_v128_load(cosines + n * width + i));
        turned = multiply_add(turned, swapped, wasm_v128_load(sines + n * width + i));
        wasm_v128_store(y + h * stride + n * width + i, turned);
      }
}

/* Range x (count, heads, width) par tête, comme `rotate`, sans tourner. */
void EXPORT(store)(const float *x, int heads, int width, int count, int stride, float *y) {
  for (int n = 0; n < count; n += 1)
    for (int h = 0; h < heads; h += 1, x += width)
      for (int i = 0; i < width; i += 4) wasm_v128_store(y + h * stride + n * width + i, wasm_v128_load(x + i));
}

/* Softmax sur place ; la place jusqu’au multiple de 4 suivant est à nous. */
INLINE void softmax(float *values, int count) {
  v128_t most = wasm_f32x4_splat(-__builtin_inff()), total = wasm_f32x4_splat(0);
  for (int i = count; i & 3; i += 1) values[i] = -__builtin_inff();
  for (int i = 0; i < count; i += 4) most = wasm_f32x4_max(most, wasm_v128_load(values + i));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 2, 3, 0, 1));
  most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
  for (int i = 0; i < count; i += 4) {
    v128_t e = exponential(wasm_f32x4_sub(wasm_v128_load(values + i), most));
    wasm_v128_store(values + i, e), total = wasm_f32x4_add(total, e);
  }
  v128_t inverse = wasm_f32x4_splat(1 / sum(total));
  for (int i = 0; i < count; i += 4) wasm_v128_store(values + i, wasm_f32x4_mul(wasm_v128_load(values + i), inverse));
}

/* La moyenne des valeurs, pour 4 × `vectors` coordonnées tenues dans les registres. */
INLINE void mix(const float *w, const float *v, int width, int read, int vectors, float *y) {
  v128_t totals[4];
  for (int k = 0; k < vectors; k += 1) totals[k] = wasm_f32x4_splat(0);
  for (int t = 0; t < read; t += 1, v += width)
    for (int k = 0; k < vectors; k += 1)
      totals[k] = multiply_add(totals[k], wasm_f32x4_splat(w[t]), wasm_v128_load(v + 4 * k));
  for (int k = 0; k < vectors; k += 1) wasm_v128_store(y + 4 * k, totals[k]);
}

/*
 * L’attention de `count` positions à partir de `first`, chacune sur celles d’avant et sur elle-même.
 * queries (heads, count, width) ; keys, values (groups, limit, width) ; weights (heads, stride) garde
 * les poids de la dernière position, stride un multiple de 4 ; y (count, heads, width).
 */
void EXPORT(attend)(const float *queries, const float *keys, const float *values, int heads, int groups, int width,
                    int limit, int stride, int first, int count, float *weights, float *y) {
  float scale = 1 / __builtin_sqrtf(width);
  for (int h = 0; h < heads; h += 1) {
    const float *k = keys + h * groups / heads * limit * width, *v = values + h * groups / heads * limit * width;
    float *w = weights + h * stride;
    for (int n = 0; n < count; n += 1, queries += width) {
      int read = first + n + 1;
      float *mixed = y + (n * heads + h) * width;
      for (int t = 0; t < read; t += 1) {
        v128_t total = wasm_f32x4_splat(0);
        for (int i = 0; i < width; i += 4)
          total = multiply_add(total, wasm_v128_load(queries + i), wasm_v128_load(k + t * width + i));
        w[t] = sum(total) * scale;
      }
      softmax(w, read);
      int i = 0;
      for (; i + 16 <= width; i += 16) mix(w, v + i, width, read, 4, mixed + i);
      for (; i < width; i += 4) mix(w, v + i, width, read, 1, mixed + i);
    }
  }
}

/* 1 / p(id) : Σ e^(score − score de id), que l’on borne à e^88. */
float EXPORT(inverse_probability)(const float *scores, int count, int id) {
  v128_t own = wasm_f32x4_splat(scores[id]), total = wasm_f32x4_splat(0);
  int i = 0;
  for (; i + 4 <= count; i += 4) total = wasm_f32x4_add(total, exponential(wasm_f32x4_sub(wasm_v128_load(scores + i), own)));
  float rest = 0;
  for (; i < count; i += 1) rest += wasm_f32x4_extract_lane(exponential(wasm_f32x4_sub(wasm_f32x4_splat(scores[i]), own)), 0);
  return sum(total) + rest;
}
