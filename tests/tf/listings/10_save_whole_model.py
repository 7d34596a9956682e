import rkeras.tf as tf
model = tf.keras.Sequential([
    tf.keras.layers.Dense(64, activation='relu', input_shape=(784,)),
    tf.keras.layers.Dense(10, activation='softmax')
])
model.compile(optimizer='adam', loss='sparse_categorical_crossentropy')
# 保存为 .keras 格式(推荐)
model.save('model.keras')
# 保存为 HDF5 格式
model.save('model.h5')
# 保存为 SavedModel 格式
model.save('saved_model')
# 加载模型
loaded_model = tf.keras.models.load_model('model.keras')
loaded_model = tf.keras.models.load_model('model.h5')
loaded_model = tf.keras.models.load_model('saved_model')
