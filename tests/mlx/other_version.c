/* other_version.c - preloaded, it makes libmlx say that it is of another version.
 * SPDX-License-Identifier: Apache-2.0 */
const char *_ZN3mlx4core7versionEv(void); /* mlx::core::version() */
const char *_ZN3mlx4core7versionEv(void) { return "0.9.9"; }
